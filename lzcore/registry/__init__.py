"""What is installed and how to reach it: hooks, specs, discovery and look-up."""

from lzcore.registry.blame import blamed
from lzcore.registry.discovery import Plugin
from lzcore.registry.hints import installable
from lzcore.registry.hookspecs import API, hookimpl
from lzcore.registry.lookup import Component, Registry, get_registry
from lzcore.registry.making import made
from lzcore.registry.relay import Relay, unheard
from lzcore.registry.specs import (
    KINDS,
    BufferSpec,
    EnvSpec,
    ModelSpec,
    OpponentSpec,
    PolicySpec,
    RunnerSpec,
    SearchTreeSpec,
    Spec,
    load,
)

__all__ = [
    "API",
    "KINDS",
    "BufferSpec",
    "Component",
    "EnvSpec",
    "ModelSpec",
    "OpponentSpec",
    "Plugin",
    "PolicySpec",
    "Registry",
    "Relay",
    "RunnerSpec",
    "SearchTreeSpec",
    "Spec",
    "blamed",
    "get_registry",
    "hookimpl",
    "installable",
    "load",
    "made",
    "unheard",
]
