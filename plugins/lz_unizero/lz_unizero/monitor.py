"""What a learn step reports: the documented names."""

from lz_muzero.monitor import ANALYSIS

NORM = "total_grad_norm_before_clip_wm"
DEVICE_MEMORY = ("Current_GPU", "Max_GPU")  # GiB
MOMENTS = {  # part of the loss -> what it is called where single steps of a window are told
    "value_loss": "value",
    "policy_loss": "policy",
    "reward_loss": "rewards",
    "obs_loss": "obs",
}
READ_ANEW = "collect_read_anew"  # ours: leaves of collecting that a whole pass evaluated
NAMES = [
    *(
        f"analysis/{moment}_step_loss_{head}"
        for moment in ("first", "middle", "last")
        for head in MOMENTS.values()
    ),
    *(name.replace("ratio_dynamics", "ratio_world_model") for name in ANALYSIS),
    *DEVICE_MEMORY,
    "collect_epsilon",
    "collect_mcts_temperature",
    "cur_lr_world_model",
    "cur_lr_tokenizer",
    "weighted_total_loss",
    "obs_loss",
    "policy_loss",
    "orig_policy_loss",
    "policy_entropy",
    "latent_recon_loss",
    "target_policy_entropy",
    "reward_loss",
    "value_loss",
    "consistency_loss",
    "value_priority",
    "target_reward",
    "target_value",
    NORM,
    "commitment_loss",
    "reconstruction_loss",
    "perceptual_loss",
    READ_ANEW,
]
