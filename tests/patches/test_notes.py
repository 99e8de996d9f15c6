"""What is said beside the diff: settings and losses that patches leave without use, and long bursts."""

from __future__ import annotations

from specimens import PATCHES, texts

from newtfix.plan.engine import plan


def notes(name: str, *ids: str) -> str:
    return "\n".join(plan(texts(name), ids, PATCHES).notes)


def test_losses_that_nothing_chooses_any_more_and_the_modes_that_stand_for_them() -> None:
    said = notes("planning", "actor-modes", "prior-norm")
    assert "nothing uses _pi_loss_constrained (tdmpc2.py:131), _pi_loss_alternate (tdmpc2.py:120) any more" in said
    assert "constrained_planning == 2: actor_mode=residual; constrained_planning == 1: actor_mode=bc_sac" in said
    assert "otherwise: no mode" in said
    assert "actor_mode" not in notes("planning", "seeding") and "actor_mode" not in notes("plain", "actor-modes")


def test_a_setting_that_nothing_reads_any_more() -> None:
    line = 1 + texts("plain")["config.py"].split("seeding_coef")[0].count("\n")
    said = f"seeding_coef (config.py:{line}) has no effect any more"
    assert said in notes("plain", "seeding") and said not in notes("plain", "burst", "rho")
    commented = {**texts("plain"), "more.py": "# until cfg.seeding_coef\n"}
    assert plan(commented, ["seeding"], PATCHES).notes


def test_how_long_a_burst_is_with_the_tree_s_own_seeding() -> None:
    assert "world_size: 500 for 4 environments and 25 steps an episode" in notes("plain", "burst")
    config = texts("plain")["config.py"].replace("episode_length: int = 25", "episode_length: Any = None")
    tree = {**texts("plain"), "config.py": config.replace("seeding_coef: int = 5", "seeding_coef: int = 7")}
    (note,) = plan(tree, ["burst"], PATCHES).notes
    assert "14,000 for 4 environments and 500 steps" in note and "With the patch seeding they are 2,500" in note
    assert "The burst makes" not in notes("plain", "seeding", "burst")
