"""Out-of-distribution detection: properties of p-values, and distances from another program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import neighbors

from triptych.ensemble import ood

counts = st.integers(1, 30)
seeds = st.integers(0, 999)


def photos(count: int, seed: int, *, size: int = 6) -> np.ndarray:
    """Features around one direction, with different lengths, like those of networks."""
    random = np.random.default_rng(seed)
    near = np.abs(random.normal([3.0] + [0.0] * (size - 1), 1, size=(count, size)))
    return near * random.uniform(1, 5, size=(count, 1))


def others(count: int, seed: int, *, size: int = 6) -> np.ndarray:
    """Features around the opposite direction."""
    return -photos(count, seed, size=size)


@given(count=counts, fresh=st.integers(0, 5), seed=seeds)
def test_p_values_are_shares_of_the_training_photos(count: int, fresh: int, seed: int) -> None:
    p = ood.p_values(ood.fit(photos(count, seed)), photos(fresh, seed + 1))
    assert p.shape == (fresh,)
    assert (p <= 1).all()
    np.testing.assert_allclose(p * (count + 1), (p * (count + 1)).round())
    assert (p >= 1 / (count + 1) - 1e-12).all()


@given(count=counts, seed=seeds)
def test_with_fewer_than_19_photos_nothing_is_refused_at_5_percent(count: int, seed: int) -> None:
    p = ood.p_values(ood.fit(photos(count, seed)), others(3, seed))
    assert (p > 0.05).all() or count >= 19
    # Otherwise the opposite of all that was taught is refused.
    assert (p <= 0.05).all() or count < 19


@given(count=counts, seed=seeds)
def test_p_values_fall_with_distance(count: int, seed: int) -> None:
    taught, fresh = ood.fit(photos(count, seed)), photos(8, seed + 1)
    order = np.argsort(ood.distances(taught, fresh), kind="stable")
    assert (np.diff(ood.p_values(taught, fresh)[order]) <= 0).all()


@given(count=counts, seed=seeds)
def test_a_batch_equals_its_rows_and_lengths_and_orders_do_not_matter(
    count: int, seed: int
) -> None:
    known, fresh = photos(count, seed), photos(5, seed + 1)
    taught = ood.fit(known)
    found = ood.distances(taught, fresh)
    alone = [ood.distances(taught, fresh[n : n + 1])[0] for n in range(5)]
    np.testing.assert_allclose(found, alone, atol=1e-6)
    np.testing.assert_allclose(ood.distances(taught, 7 * fresh), found, atol=1e-6)
    shuffled = ood.fit(known[::-1] / 3)
    np.testing.assert_allclose(shuffled.distances, taught.distances, atol=2e-3)
    np.testing.assert_allclose(ood.distances(shuffled, fresh), found, atol=2e-3)


def joint_p_value(known: np.ndarray, fresh: np.ndarray, neighbours: int) -> float:
    """The p-value of full conformal prediction: the new photo counts among the others."""
    both = np.concatenate([known, fresh[None] / np.linalg.norm(fresh)])
    gaps = 1 - both @ both.T
    np.fill_diagonal(gaps, np.inf)
    own = np.sort(gaps, axis=1)[:, :neighbours].mean(axis=1)
    # Ours are float32; with more than one neighbour there are no ties.
    return float((1 + (own[:-1] > own[-1] + 1e-6).sum()) / len(own))


@given(count=st.integers(5, 30), seed=seeds, neighbours=st.integers(2, 4))
def test_p_values_are_never_below_those_that_are_valid_by_symmetry(
    count: int, seed: int, neighbours: int
) -> None:
    fresh, taught = photos(3, seed + 1), ood.fit(photos(count, seed), neighbours=neighbours)
    known = taught.features.astype(np.float64)
    valid = [joint_p_value(known, row, neighbours) for row in fresh]
    assert (ood.p_values(taught, fresh) >= np.array(valid) - 1e-12).all()


@pytest.mark.parametrize(("count", "runs"), [(10, 400), (40, 200)])
def test_p_values_of_held_out_photos_are_valid(count: int, runs: int) -> None:
    p = np.concatenate(
        [
            ood.p_values(ood.fit(some[:count]), some[count:])
            for some in (photos(count + 1, seed) for seed in range(runs))
        ]
    )
    for share in (0.1, 0.25, 0.5, 0.75):
        below = int((p <= share).sum())
        assert below <= stats.binom.ppf(1 - 1e-4, runs, share)
        # And not much rarer, or nothing would ever be refused.
        assert below >= stats.binom.ppf(1e-4, runs, 0.6 * share)


def test_in_distribution_photos_have_higher_p_values() -> None:
    taught = ood.fit(photos(200, 0))
    assert (ood.p_values(taught, others(50, 1)) <= 1 / 201).all()
    assert np.median(ood.p_values(taught, photos(200, 2))) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("neighbours", [1, 3, 7])
def test_distances_equal_scikit_learn(neighbours: int) -> None:
    known, fresh = photos(700, 1, size=64), photos(600, 2, size=64)
    taught = ood.fit(known, neighbours=neighbours)
    model = neighbors.NearestNeighbors(n_neighbors=neighbours, metric="cosine").fit(known)
    expected = model.kneighbors(fresh)[0].mean(axis=1)
    np.testing.assert_allclose(ood.distances(taught, fresh), expected, atol=5e-4)
    # Asked without photos, it leaves each out of its own neighbours.
    held_out = np.sort(model.kneighbors()[0].mean(axis=1))
    np.testing.assert_allclose(taught.distances, held_out, atol=5e-4)


def test_copies_in_one_group_are_not_neighbours() -> None:
    known = photos(60, 0)
    twice, copies = np.repeat(known, 2, axis=0), np.repeat(np.arange(60), 2)
    fooled = ood.fit(twice, neighbours=1)
    told = ood.fit(twice, groups=copies, neighbours=1)
    single = ood.fit(known, neighbours=1)
    np.testing.assert_allclose(told.distances, np.repeat(single.distances, 2), atol=1e-6)
    fresh = photos(100, 1)
    assert (ood.p_values(fooled, fresh) <= 0.05).mean() > 0.9
    assert (ood.p_values(told, fresh) <= 0.05).mean() < 0.2


def test_if_all_photos_are_copies_nothing_is_refused() -> None:
    taught = ood.fit(np.ones((40, 3)), groups=np.zeros(40, int))
    assert np.isinf(taught.distances).all()
    assert ood.p_values(taught, others(4, 0, size=3)).tolist() == [1, 1, 1, 1]


def test_memory_is_bounded_and_the_choice_is_seeded() -> None:
    known, groups = photos(300, 0), np.arange(300) // 2
    taught = ood.fit(known, limit=50, seed=1)
    assert taught.features.shape == (50, 6)
    assert taught.distances.shape == (50,)
    again, other = (ood.fit(known, limit=50, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(taught.features, again.features)
    assert (taught.features != other.features).any()
    assert len(ood.fit(known, groups=groups, limit=50).features) == 50
    assert len(ood.fit(known, limit=300).features) == 300


def test_storing_features_in_half_precision_loses_nothing() -> None:
    taught = ood.fit(photos(50, 0))
    stored = taught.features.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(stored, taught.features)
    np.testing.assert_allclose(np.linalg.norm(taught.features, axis=1), 1, atol=1e-3)


def known(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "digests": random.integers(0, 256, (count, 32), np.uint8),
        "labels": random.integers(0, 5, count),
    }


@given(count=st.integers(1, 40), asked=st.integers(0, 12), seed=seeds)
def test_the_nearest_photos_equal_scikit_learn(count: int, asked: int, seed: int) -> None:
    features, told = photos(count, seed), known(count, seed)
    taught, fresh = ood.fit(features, **told), photos(3, seed + 1)
    found = ood.nearest(taught, fresh, asked)
    assert [len(each) for each in found] == [min(asked, count)] * 3
    if not asked:
        return
    model = neighbors.NearestNeighbors(n_neighbors=min(asked, count), metric="cosine")
    gaps, places = model.fit(taught.features).kneighbors(fresh)
    for row, gap, place in zip(found, gaps, places, strict=True):
        np.testing.assert_allclose([one.distance for one in row], gap, atol=5e-4)
        for one, n in zip(row, place, strict=True):
            at = [d.tobytes().hex() for d in told["digests"]].index(one.digest)
            assert one.label == told["labels"][at]
            assert one.distance == pytest.approx(gap[list(place).index(n)], abs=5e-4)


def test_kept_photos_keep_their_names() -> None:
    features, told = photos(300, 0), known(300, 0)
    taught = ood.fit(features, **told, limit=50)
    assert (taught.digests.shape, taught.labels.shape) == ((50, 32), (50,))
    for place, digest in enumerate(taught.digests):
        (at,) = np.flatnonzero((told["digests"] == digest).all(axis=1))
        assert taught.labels[place] == told["labels"][at]
        own = features[at] / np.linalg.norm(features[at])
        np.testing.assert_allclose(taught.features[place], own, atol=1e-3)
        (nearest,) = ood.nearest(taught, features[at : at + 1], 1)
        assert nearest[0].digest == digest.tobytes().hex()


def test_the_reference_is_saved_atomically_and_older_files_have_no_names(tmp_path: Path) -> None:
    taught, path = ood.fit(photos(20, 0), **known(20, 0)), tmp_path / "taught.npz"
    taught.save(path)
    again = ood.OODReference.read(path)
    for name in ("features", "distances", "digests", "labels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(taught, name))
    old = {"features": taught.features, "distances": taught.distances, "neighbours": np.array(3)}
    np.savez(path, allow_pickle=False, **old)
    assert ood.nearest(ood.OODReference.read(path), photos(2, 1), 5) == [[], []]


def test_a_photo_without_features_is_far_from_all() -> None:
    taught = ood.fit(photos(50, 0))
    assert ood.distances(taught, np.zeros((1, 6))).tolist() == [1]
