"""What a learn step reports: the documented names, and how the numbers are made.

Shape letters: B samples, K unroll steps, A actions.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lz_muzero.losses import Unrolled
from lzcore.base import ConfigError
from lzcore.nn import ActivityProbe, NormProbe

ANALYSIS = (
    "analysis/dormant_ratio_encoder",
    "analysis/dormant_ratio_dynamics",
    "analysis/latent_state_l2_norms",
    "analysis/l2_norm_before",
    "analysis/l2_norm_after",
    "analysis/grad_norm_before",
    "analysis/grad_norm_after",
)


def monitored(reward: str, *, extra_statistics: bool) -> list[str]:
    """Return the names of the scalars that a learn step reports, in documented order.

    Args:
        reward: what the reward head tells: "reward" or "value_prefix".
        extra_statistics: whether predicted and target rewards and values are among them.
    """
    statistics = (
        f"target_{reward}",
        "target_value",
        f"predicted_{reward}s",
        "predicted_values",
        f"transformed_target_{reward}",
        "transformed_target_value",
    )
    return [
        *ANALYSIS,
        "collect_mcts_temperature",
        "collect_epsilon",
        "cur_lr",
        "weighted_total_loss",
        "total_loss",
        "policy_loss",
        "policy_entropy",
        "target_policy_entropy",
        f"{reward}_loss",
        "value_loss",
        "consistency_loss",
        "value_priority",
        *(statistics if extra_statistics else ()),
        "total_grad_norm_before_clip",
    ]


def probing(cfg: Any) -> bool:
    """Whether the settings ask for the norms around SimNorm, or for dormant neurons."""
    return asks_for_norms(cfg) or asks_for_dormant(cfg)


def asks_for_norms(cfg: Any) -> bool:
    """Whether the norms around SimNorm are told; either name of the setting will do."""
    return bool(cfg.analysis_sim_norm or cfg.model.analysis_sim_norm)


def asks_for_dormant(cfg: Any) -> bool:
    """Whether dormant neurons are told; any name of the setting will do."""
    named = cfg.cal_dormant_ratio or cfg.analysis_dormant_ratio or cfg.model.analysis_dormant_ratio
    return bool(named)


def probe_of(model: Any, cfg: Any) -> NormProbe | None:
    """Return the probe around the model's SimNorm if analysis_sim_norm asks for one.

    Raises:
        ConfigError: the model has no `root_norm` to look at.
    """
    if not asks_for_norms(cfg):
        return None
    if not hasattr(model, "root_norm"):
        raise ConfigError(
            f"analysis_sim_norm looks at the layer `root_norm` of the model, and "
            f"{type(model).__name__} has none; set it to false."
        )
    return getattr(model, "probe", None) or NormProbe(model.root_norm)


def activity_of(model: Any, cfg: Any, networks: Mapping[str, str]) -> dict[str, ActivityProbe]:
    """Return, by the name of its metric, a probe for each network whose dormant neurons are told.

    Args:
        model: that has them.
        cfg: says whether they are told.
        networks: what each is called in a metric -> in the model.
    Raises:
        ConfigError: they are asked for, and the model has no such networks.
    """
    if not asks_for_dormant(cfg):
        return {}
    for name in networks.values():
        if not hasattr(model, name):
            raise ConfigError(
                f"cal_dormant_ratio looks at the network `{name}` of the model, and "
                f"{type(model).__name__} has none; set it to false."
            )
    return {
        f"analysis/dormant_ratio_{told}": ActivityProbe(getattr(model, name), cfg.dormant_threshold)
        for told, name in networks.items()
    }


def analysis(
    unrolled: Unrolled, probe: NormProbe | None, activity: Mapping[str, ActivityProbe]
) -> dict[str, Any]:
    """Return mean norms of the observed latents, and what the probes saw; the rest is 0."""
    told: dict[str, Any] = dict.fromkeys(ANALYSIS, 0.0)
    norms = torch.linalg.vector_norm(unrolled.latent_state[0].flatten(1), dim=1)
    told["analysis/latent_state_l2_norms"] = norms.mean()
    if probe is not None:
        told["analysis/l2_norm_before"] = probe.before
        told["analysis/l2_norm_after"] = probe.after
        told["analysis/grad_norm_before"] = probe.grad_before
        told["analysis/grad_norm_after"] = probe.grad_after
    return told | {name: probe.take() for name, probe in activity.items()}


def to_floats(named: dict[str, Any]) -> dict[str, float]:
    """Turn 0-d tensors and numbers into floats with a single copy from the device."""
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    moved = torch.stack([t.detach() for t in tensors.values()]).tolist()
    return {**named, **dict(zip(tensors, moved, strict=True))}
