"""A policy by name: a preset, a class of the user's, or one that an installed package registers."""

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import jenga_sim
from jenga_sim import Carving, ConfigError, Policy, Trace, get_policy
from jenga_sim.policies import presets
from jenga_sim.policies.carving.single import SinglePool
from jenga_sim.policies.presets import CARVINGS, GROUPINGS, PRESETS, customize, load_class

MINE = """\
from jenga_sim.policies.carving.single import SinglePool


class Mine(SinglePool):
    grouping = "vllm"


class Kinds(SinglePool):
    grouping = "by_kind"


class Inherits(SinglePool):
    pass
"""

TRACE = Trace.from_columns([i * 30_000_000 for i in range(9)], [900] * 9, [40] * 9)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_choices_that_exist(name: str) -> None:
    policy = get_policy(name)

    assert policy.name == name
    assert policy.group is GROUPINGS[policy.grouping]
    assert policy.make_carving is CARVINGS[policy.carving]
    assert policy.summary


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_serves_a_hybrid_model(name: str) -> None:
    result = jenga_sim.run(TRACE, policy=name, check=True)

    assert result.summary["completed"] == len(TRACE)
    assert result.summary["policy"] == name


def test_the_presets_include_the_two_that_everybody_compares() -> None:
    assert (PRESETS["paged"].grouping, PRESETS["paged"].carving) == ("uniform", "single")
    assert (PRESETS["lcm"].grouping, PRESETS["lcm"].carving) == ("by_kind", "lcm")


@pytest.mark.parametrize("name", PRESETS)
def test_only_policies_of_vllm_align_blocks_to_states(name: str) -> None:
    assert PRESETS[name].aligns_blocks == name.startswith("vllm")


def test_a_class_of_the_users_serves_requests_like_the_preset_it_copies(mine: Path) -> None:
    ours = jenga_sim.run(TRACE, policy=f"{mine}:Mine", check=True).summary
    vllm = jenga_sim.run(TRACE, policy="vllm", enable_prefix_caching=False, check=True).summary

    assert ours["policy"] == f"{mine}:Mine"
    assert {**ours, "policy": "vllm"} == vllm


def test_a_class_of_the_users_brings_its_grouping(mine: Path) -> None:
    assert get_policy(f"{mine}:Kinds").grouping == "by_kind"
    assert get_policy(f"{mine}:Inherits").grouping == SinglePool.grouping == "vllm"


def test_a_class_may_come_from_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_in_a_module.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)

    policy = get_policy("mine_in_a_module:Mine")

    assert issubclass(load_class(policy.carving), SinglePool)
    assert jenga_sim.run(TRACE, policy=policy).summary["completed"] == len(TRACE)


def test_two_files_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for folder, grouping in (("a", "vllm"), ("b", "uniform")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(MINE.replace('"vllm"', f'"{grouping}"'))

    found = [get_policy(f"{tmp_path / folder / 'mine.py'}:Mine").grouping for folder in "ab"]

    assert found == ["vllm", "uniform"]


@pytest.mark.parametrize(
    ("source", "name", "text"),
    [
        ("class Mine(:\n", "Mine", "SyntaxError"),
        ("raise OSError('no disk')\n", "Mine", "OSError: no disk"),
        ("import no_such_module_at_all\n", "Mine", "ModuleNotFoundError"),
        ("", "Mine", "no class 'Mine' derived from .*Carving"),
        ("class Mine: pass\n", "Mine", "no class 'Mine' derived from .*Carving"),
        ("Mine = 3\n", "Mine", "no class 'Mine' derived from .*Carving"),
        (MINE, "mine", "no class 'mine' derived from .*Carving"),
        (MINE.replace("by_kind", "by_color"), "Kinds", "grouping 'by_color' is none of .*uniform"),
        (
            "from jenga_sim import Carving\nclass Mine(Carving):\n    pass\n",
            "Mine",
            "lacks methods of Carving: .*could_fit.*take",
        ),
    ],
)
def test_a_broken_class_is_refused_with_file_and_reason(
    tmp_path: Path, source: str, name: str, text: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)

    with pytest.raises(ConfigError, match=text) as caught:
        get_policy(f"{path}:{name}")

    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["./no.py:Mine", "no.such.module:Mine", ":Mine", ".mine:Mine"])
def test_a_file_or_module_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=name.partition(":")[0] or ":Mine"):
        get_policy(name)


@pytest.mark.parametrize(
    ("name", "close"), [("lmc", "lcm"), ("page", "paged"), ("vllm_nohybrid", "vllm-nohybrid")]
)
def test_an_unknown_name_suggests_a_close_one_and_lists_all(name: str, close: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}'. Did you mean '{close}'") as caught:
        get_policy(name)

    assert all(preset in str(caught.value) for preset in PRESETS)


def register(monkeypatch: pytest.MonkeyPatch, **targets: str) -> None:
    """Pretend that packages with these entry points are installed."""

    def fake(*, group: str) -> Sequence[EntryPoint]:
        assert group == "jenga_sim.policies"
        return [EntryPoint(name, value, group) for name, value in targets.items()]

    monkeypatch.setattr(presets, "entry_points", fake)


def test_an_installed_package_registers_a_policy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "plugin_of_a_package.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    register(monkeypatch, brandnew="plugin_of_a_package:Kinds")

    policy = get_policy("brandnew")

    assert policy == Policy(
        name="brandnew",
        grouping="by_kind",
        carving="plugin_of_a_package:Kinds",
        summary=policy.summary,
    )
    with pytest.raises(ConfigError, match="Did you mean 'brandnew'"):
        get_policy("brandnow")


def test_a_preset_cannot_be_replaced_by_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, lcm="somewhere:Else")

    assert get_policy("lcm") is PRESETS["lcm"]


def test_a_package_that_is_broken_harms_only_its_own_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(monkeypatch, broken="no_such_module_at_all:Mine")

    assert get_policy("paged") is PRESETS["paged"]
    with pytest.raises(ConfigError, match="no_such_module_at_all"):
        get_policy("broken")


def test_a_choice_is_replaced_and_the_preset_stays() -> None:
    custom = customize(PRESETS["lcm"], {"carving": "static"})

    assert (custom.grouping, custom.carving) == ("by_kind", "static")
    assert PRESETS["lcm"].carving == "lcm"
    assert customize(PRESETS["lcm"], {}) == PRESETS["lcm"]


def test_a_carving_may_be_replaced_by_a_class_of_the_users(mine: Path) -> None:
    custom = customize(PRESETS["paged"], {"carving": f"{mine}:Mine"})

    assert custom.grouping == "uniform"
    assert jenga_sim.run(TRACE, policy=custom).summary["completed"] == len(TRACE)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"gruping": "vllm"}, r"policy\.gruping: unknown choice\. Known: grouping, carving"),
        ({"name": "x"}, r"policy\.name: unknown choice"),
        ({"grouping": "by_color"}, r"policy\.grouping: 'by_color' is none of .*by_kind"),
        ({"grouping": "x:y"}, r"policy\.grouping: 'x:y' is none of"),
        ({"grouping": None}, r"policy\.grouping: None is none of"),
        ({"grouping": ["vllm"]}, r"policy\.grouping: \['vllm'\] is none of"),
        ({"carving": "slab"}, r"policy\.carving: 'slab' is none of .*ideal, lcm"),
        ({"carving": 3}, r"policy\.carving: 3 is none of"),
        ({"scheduler": "v2"}, r"policy\.scheduler: 'v2' is none of v1, v0"),
        ({"retention": "dens"}, r"policy\.retention: 'dens' is none of none, dense"),
        ({"eviction": "lfu"}, r"policy\.eviction: 'lfu' is none of lru"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused_by_name(
    settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        customize(PRESETS["lcm"], settings)


def test_a_carving_that_cannot_serve_the_grouping_says_so() -> None:
    with pytest.raises(ConfigError, match="'single' needs pages of one size"):
        jenga_sim.run(TRACE, policy=customize(PRESETS["max-page"], {"grouping": "by_kind"}))


def test_the_contract_can_be_named_from_the_front_door() -> None:
    assert issubclass(SinglePool, Carving)
    assert Carving is jenga_sim.Carving
