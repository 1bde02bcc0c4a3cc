"""Components that keep their promises, and a registry for wrong ones that are derived from them."""

import sys
import types
from types import SimpleNamespace

import numpy as np
from engine_fakes import Line, TinyConfig, TinyPolicy

from lzcore.base import Decisions, uniform
from lzcore.registry import Registry, hookimpl

MODULE = "kit_fakes_installed"  # where the specs of `registry_of` find their classes


class GoodPolicy(TinyPolicy):
    """A TinyPolicy that minds what is allowed, and refuses what is no model."""

    def _create_model(self, cfg, model):
        return super(TinyPolicy, self)._create_model(cfg, model or Line(cfg.width))

    def _forward_collect(self, data, action_mask, to_play, ready_env_id, temperature):
        odds = self._odds(data)
        right = uniform(self._stream.next(ready_env_id)) < odds
        return Decisions(ready_env_id, {"action": allowed(right, action_mask), "odds": odds})

    def _forward_eval(self, data, action_mask, to_play, ready_env_id):
        odds = self._odds(data)
        return Decisions(ready_env_id, {"action": allowed(odds > 0.5, action_mask), "odds": odds})

    def decide_at_random(self, seen):
        found = super().decide_at_random(seen).columns
        action = allowed(found["action"] > 0, seen.action_mask)
        return Decisions(seen.env_id, {**found, "action": action})


def allowed(right, mask):
    """(N,) 1 where `right`, else 0; the other one where that is not allowed."""
    action = right.astype(np.int64)
    return np.where(mask[np.arange(len(action)), action], action, 1 - action)


def registry_of(monkeypatch, *specs, distribution="lz-fakes", **classes):
    """A registry of the core and one distribution, whose specs name `classes` of MODULE."""
    module = types.ModuleType(MODULE)
    module.LZ_API = 1
    for name, found in {"TinyConfig": TinyConfig, **classes}.items():
        setattr(module, name, found)
    for kind in {spec.kind for spec in specs}:
        mine = [spec for spec in specs if spec.kind == kind]
        setattr(module, f"lz_register_{kind}", hookimpl(lambda mine=mine: mine))
    monkeypatch.setitem(sys.modules, MODULE, module)
    return Registry([point_of(module, distribution)], limit="")


def point_of(module, distribution="lz-fakes"):
    """An entry point of a module."""
    dist = SimpleNamespace(name=distribution, version="1.0")
    name = module.__name__
    return SimpleNamespace(name="fakes", value=name, dist=dist, load=lambda: module)
