"""The committees of a running server: loaded, replaced, unloaded, within a limit."""

from __future__ import annotations

import re
import threading

import pytest

from support import studios
from support.bundles import fill
from triptych import bundles
from triptych import errors
from triptych.inference.classifier import Classifier
from triptych.web.registry import Discovery
from triptych.web.registry import Offer
from triptych.web.registry import Registry

SIZE_BYTES = 1000


def sized(name: str, size_bytes: int = SIZE_BYTES) -> Classifier:
    """A committee whose first network has the given size."""
    classifier = studios.fake_classifier("lite")
    classifier.committee.members[0].engine.size_bytes = size_bytes
    return classifier


def test_committees_are_loaded_once_on_demand():
    loaded = []

    def load(name):
        loaded.append(name)
        return studios.fake_classifier(name)

    registry = Registry(load, studios.catalogue("lite", "classic"), "lite")
    assert not registry.ready("lite")
    assert registry.get() is registry.get("lite")
    assert registry.ready("lite")
    assert loaded == ["lite"]


def test_a_failed_load_is_retried():
    attempts = []

    def load(name):
        attempts.append(name)
        if len(attempts) == 1:
            raise errors.WeightsMissing("not yet")
        return studios.fake_classifier(name)

    registry = Registry(load, studios.catalogue("lite"), "lite")
    with pytest.raises(errors.WeightsMissing):
        registry.get()
    assert registry.get().committee.name == "lite"


def test_an_unknown_default_is_refused():
    with pytest.raises(errors.UnknownName, match="no committee 'classic'; expected one of: lite"):
        Registry(studios.fake_classifier, studios.catalogue("lite"), "classic")


def test_a_committee_outside_the_zoo_has_facts():
    registry = Registry(
        lambda name: studios.fake_classifier("lite"), studios.catalogue("mine"), "mine"
    )
    assert registry.facts("mine").members == ()
    registry.get()
    assert len(registry.facts("mine").members) == 3


@pytest.fixture
def shelf() -> dict[str, list[int]]:
    """The available bundles and versions, which tests change."""
    return {"lite": [1], "garden": [1, 2], "pond": [1]}


@pytest.fixture
def loads() -> list[str]:
    return []


@pytest.fixture
def registry(shelf: dict[str, list[int]], loads: list[str]) -> Registry:
    def load(name: str) -> Classifier:
        loads.append(name)
        return sized(name)

    return Registry(load, lambda: shelf, "lite", max_bytes=2 * SIZE_BYTES)


def test_a_version_can_be_named(registry, loads):
    assert registry.get("garden@1") is not registry.get("garden")
    assert registry.get("garden@2") is registry.get("garden")
    assert loads == ["garden@1", "garden"]


@pytest.mark.parametrize("name", ["garden@3", "garden@", "garden@x", "@1", "pond@2", "lite@1@1"])
def test_an_unknown_version_is_refused(registry, name):
    with pytest.raises(errors.UnknownName, match="expected one of: lite, garden, pond"):
        registry.get(name)


def test_a_new_bundle_is_found_on_request(registry, shelf):
    with pytest.raises(errors.UnknownName):
        registry.get("meadow")
    shelf["meadow"] = [1]
    assert registry.get("meadow")
    assert "meadow" in registry.names


def test_a_committee_trained_again_is_replaced(registry, shelf, loads):
    before = registry.get("garden")
    registry.refresh()
    assert registry.loaded("garden") is before
    shelf["garden"] = [1, 2, 3]
    registry.refresh()
    after = registry.loaded("garden")
    assert after is not None
    assert after is not before
    assert loads == ["garden", "garden"]


def test_a_version_that_cannot_be_loaded_keeps_the_old_one(shelf):
    def load(name):
        if shelf["garden"][-1] == 3:
            raise errors.BundleError("damaged")
        return studios.fake_classifier("lite")

    registry = Registry(load, lambda: shelf, "lite")
    before = registry.get("garden")
    shelf["garden"] = [1, 2, 3]
    with pytest.raises(errors.BundleError):
        registry.refresh()
    registry.refresh()  # and is not tried for ever
    assert registry.loaded("garden") is before


def test_whatever_one_version_raises_the_others_are_renewed(shelf, loads):
    broken = {"garden": ZeroDivisionError("of a library"), "lite": MemoryError()}

    def load(name):
        loads.append(name)
        if name in broken and shelf[name] == [1, 2, 3]:
            raise broken[name]
        return studios.fake_classifier("lite")

    registry = Registry(load, lambda: shelf, "lite")
    before = {name: registry.get(name) for name in ("garden", "lite", "pond")}
    for name in before:
        shelf[name] = [1, 2, 3]
    loads.clear()
    with pytest.raises(errors.BundleError) as caught:
        registry.refresh()
    assert loads == ["garden", "lite", "pond"]
    for name in broken:
        assert f"{name}, version 3, cannot be loaded" in caught.value.message
        assert registry.loaded(name) is before[name]
    assert registry.loaded("pond") is not before["pond"]


def test_the_name_is_served_while_a_roll_back_loads(registry, shelf, loads):
    shelf["garden"] = Offer((1, 2, 3), 3)
    registry.refresh()
    third = registry.get("garden")
    shelf["garden"] = Offer((1, 2, 3), 2)
    assert registry.loaded("garden") is registry.loaded("garden@3") is third
    registry.refresh()
    second = registry.loaded("garden")
    assert second is registry.loaded("garden@2")
    assert second is not third
    assert registry.loaded("garden@3") is None
    assert loads == ["garden", "garden"]
    assert registry.facts("garden").active == 2
    assert registry.facts("garden").versions == (1, 2, 3)


def test_a_version_loaded_by_number_is_shared(registry, shelf, loads):
    registry.get("garden")
    first = registry.get("garden@1")
    shelf["garden"] = Offer((1, 2), 1)
    registry.refresh()
    assert registry.loaded("garden") is registry.loaded("garden@1") is first
    assert loads == ["garden", "garden@1"]
    assert registry.size_bytes == SIZE_BYTES
    registry.unload("garden")
    tried = registry.get("garden@2")
    shelf["garden"] = Offer((1, 2), 2)
    registry.refresh("garden")  # nobody had asked the bare name
    assert registry.loaded("garden") is tried


def test_each_version_answers_by_number_during_a_swap(shelf):
    begun, go_on, loaded = threading.Event(), threading.Event(), []

    def load(name):
        loaded.append(name)
        if len(loaded) == 2:
            begun.set()
            assert go_on.wait(300)
        return studios.fake_classifier("lite")

    registry = Registry(load, lambda: shelf, "lite")
    second = registry.get("garden")
    shelf["garden"] = Offer((1, 2), 1)
    swapping = threading.Thread(target=registry.refresh)
    swapping.start()
    assert begun.wait(300)
    assert registry.loaded("garden") is registry.loaded("garden@2") is second
    assert registry.loaded("garden@1") is None
    assert not registry.ready("garden@1")
    go_on.set()
    swapping.join()
    assert registry.loaded("garden") is registry.loaded("garden@1") is not second
    assert loaded == ["garden", "garden"]


def test_an_unpublished_committee_is_served_by_number_only(registry, shelf):
    registry.get("garden")
    shelf["garden"] = Offer((1, 2), None)
    registry.refresh()
    assert registry.names == ("lite", "pond")
    with pytest.raises(errors.UnknownName, match=r"No version of garden is published.*garden@2"):
        registry.get("garden")
    assert not registry.ready("garden")
    assert registry.get("garden@2")
    assert registry.facts("garden@2").active is None


def test_a_committee_that_cannot_be_loaded_does_not_block_others(shelf):
    def load(name):
        if name == "garden" and shelf["garden"][-1] == 3:
            raise errors.BundleError("damaged")
        return studios.fake_classifier("lite")

    registry = Registry(load, lambda: shelf, "lite")
    before = {name: registry.get(name) for name in ("garden", "pond")}
    shelf.update(garden=[1, 2, 3], pond=[1, 2])
    registry.refresh("lite")
    assert registry.loaded("pond") is before["pond"]
    with pytest.raises(errors.BundleError):
        registry.refresh()
    assert registry.loaded("garden") is before["garden"]
    assert registry.loaded("pond") is not before["pond"]


def test_a_default_with_a_version_keeps_that_version(shelf):
    registry = Registry(sized, lambda: shelf, "garden@1")
    first = registry.get()
    shelf["garden"] = Offer((1, 2), 1)
    registry.refresh()
    shelf["garden"] = Offer((1, 2), 2)
    registry.refresh()
    assert registry.get() is registry.loaded("garden@1") is first


def test_a_removed_committee_is_dropped(registry, shelf):
    registry.get("garden")
    del shelf["garden"]
    registry.refresh()
    assert "garden" not in registry.names
    with pytest.raises(errors.UnknownName):
        registry.loaded("garden")


def test_beyond_its_limit_the_least_used_is_unloaded(registry):
    for name in ("lite", "garden", "pond"):
        registry.get(name)
    assert [registry.ready(name) for name in ("lite", "garden", "pond")] == [True, False, True]
    assert registry.size_bytes == 2 * SIZE_BYTES
    registry.get("garden")
    assert [registry.ready(name) for name in ("lite", "garden", "pond")] == [True, True, False]


def test_a_committee_in_use_is_not_unloaded(shelf):
    registry = Registry(sized, lambda: shelf, "lite", max_bytes=3 * SIZE_BYTES)
    for name in ("lite", "garden", "pond"):
        registry.get(name)
    assert registry.loaded("garden")
    registry.get("garden@1")
    assert [registry.ready(name) for name in ("garden", "pond")] == [True, False]


def test_a_committee_larger_than_the_limit_is_served(shelf):
    registry = Registry(
        lambda name: sized(name, 99 * SIZE_BYTES), lambda: shelf, "lite", max_bytes=1
    )
    assert registry.get("garden")
    assert registry.get("lite")
    assert not registry.ready("pond")


def test_an_unloaded_committee_is_loaded_again(registry, loads):
    registry.get("garden")
    registry.unload("garden")
    assert not registry.ready("garden")
    registry.get("garden")
    assert loads == ["garden", "garden"]
    with pytest.raises(errors.UnknownName):
        registry.unload("nobody")


def test_simultaneous_requests_load_once(shelf):
    loads, together = [], threading.Barrier(4, timeout=300)

    def load(name):
        loads.append(name)
        return studios.fake_classifier("lite")

    def get():
        together.wait()
        registry.get("garden")

    registry = Registry(load, lambda: shelf, "lite")
    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["garden"]


def test_a_damaged_bundle_is_logged_once_and_the_rest_is_served(tmp_path, caplog):
    for name in ("garden", "nursery"):
        bundles.write(tmp_path, name, fill)
    about = tmp_path / "bundles" / "garden" / "1" / "bundle.json"
    about.write_bytes(about.read_bytes()[:40])
    discovery = Discovery(tmp_path)
    for _ in range(3):
        assert "nursery" in discovery()
        assert "garden" not in discovery()
    (line,) = [record.getMessage() for record in caplog.records]
    assert re.search(r"bundle garden is not served: .*bundle\.json cannot be read", line)


def test_an_unknown_name_reads_no_bundle(tmp_path, monkeypatch):
    bundles.write(tmp_path, "garden", fill)
    discovery, reads = Discovery(tmp_path), []
    original = bundles.registry.read
    monkeypatch.setattr(
        bundles.registry, "read", lambda folder: reads.append(folder) or original(folder)
    )
    registry = Registry(studios.fake_classifier, discovery, "lite", may_be_new=discovery.has)
    reads.clear()
    for name in ("nothing", "nothing@3", "../bundles", "", "x" * 10_000):
        with pytest.raises(errors.UnknownName):
            registry.resolve(name)
    assert reads == []
    # What is new since is found all the same.
    bundles.write(tmp_path, "nursery", fill)
    assert registry.resolve("nursery") == "nursery"
    with pytest.raises(errors.UnknownName, match="nursery@7"):
        registry.resolve("nursery@7")
