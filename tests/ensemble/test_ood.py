"""Out-of-distribution detection: properties of p-values, and distances from another program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

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
    reference, fresh = ood.fit(photos(count, seed)), photos(8, seed + 1)
    order = np.argsort(ood.distances(reference, fresh), kind="stable")
    assert (np.diff(ood.p_values(reference, fresh)[order]) <= 0).all()


@given(count=counts, seed=seeds)
def test_a_batch_equals_its_rows_and_lengths_and_orders_do_not_matter(
    count: int, seed: int
) -> None:
    training, fresh = photos(count, seed), photos(5, seed + 1)
    reference = ood.fit(training)
    distances = ood.distances(reference, fresh)
    alone = [ood.distances(reference, fresh[n : n + 1])[0] for n in range(5)]
    np.testing.assert_allclose(distances, alone, atol=1e-6)
    np.testing.assert_allclose(ood.distances(reference, 7 * fresh), distances, atol=1e-6)
    shuffled = ood.fit(training[::-1] / 3)
    np.testing.assert_allclose(shuffled.distances, reference.distances, atol=2e-3)
    np.testing.assert_allclose(ood.distances(shuffled, fresh), distances, atol=2e-3)


def joint_p_value(training: np.ndarray, fresh: np.ndarray, neighbours: int) -> float:
    """The p-value of full conformal prediction: the new photo counts among the others."""
    both = np.concatenate([training, fresh[None] / np.linalg.norm(fresh)])
    gaps = 1 - both @ both.T
    np.fill_diagonal(gaps, np.inf)
    mean_gaps = np.sort(gaps, axis=1)[:, :neighbours].mean(axis=1)
    # Ours are float32; with more than one neighbour there are no ties.
    return float((1 + (mean_gaps[:-1] > mean_gaps[-1] + 1e-6).sum()) / len(mean_gaps))


@given(count=st.integers(5, 30), seed=seeds, neighbours=st.integers(2, 4))
def test_p_values_are_never_below_those_that_are_valid_by_symmetry(
    count: int, seed: int, neighbours: int
) -> None:
    fresh, reference = photos(3, seed + 1), ood.fit(photos(count, seed), neighbours=neighbours)
    training = reference.features.astype(np.float64)
    valid = [joint_p_value(training, row, neighbours) for row in fresh]
    assert (ood.p_values(reference, fresh) >= np.array(valid) - 1e-12).all()


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
    reference = ood.fit(photos(200, 0))
    assert (ood.p_values(reference, others(50, 1)) <= 1 / 201).all()
    assert np.median(ood.p_values(reference, photos(200, 2))) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("neighbours", [1, 3, 7])
def test_distances_equal_scikit_learn(neighbours: int) -> None:
    from sklearn import neighbors

    training, fresh = photos(700, 1, size=64), photos(600, 2, size=64)
    reference = ood.fit(training, neighbours=neighbours)
    model = neighbors.NearestNeighbors(n_neighbors=neighbours, metric="cosine").fit(training)
    expected = model.kneighbors(fresh)[0].mean(axis=1)
    np.testing.assert_allclose(ood.distances(reference, fresh), expected, atol=5e-4)
    # Asked without photos, it leaves each out of its own neighbours.
    held_out = np.sort(model.kneighbors()[0].mean(axis=1))
    np.testing.assert_allclose(reference.distances, held_out, atol=5e-4)


def test_copies_in_one_group_are_not_neighbours() -> None:
    training = photos(60, 0)
    twice, copies = np.repeat(training, 2, axis=0), np.repeat(np.arange(60), 2)
    fooled = ood.fit(twice, neighbours=1)
    grouped = ood.fit(twice, groups=copies, neighbours=1)
    single = ood.fit(training, neighbours=1)
    np.testing.assert_allclose(grouped.distances, np.repeat(single.distances, 2), atol=1e-6)
    fresh = photos(100, 1)
    assert (ood.p_values(fooled, fresh) <= 0.05).mean() > 0.9
    assert (ood.p_values(grouped, fresh) <= 0.05).mean() < 0.2


def test_if_all_photos_are_copies_nothing_is_refused() -> None:
    reference = ood.fit(np.ones((40, 3)), groups=np.zeros(40, int))
    assert np.isinf(reference.distances).all()
    assert ood.p_values(reference, others(4, 0, size=3)).tolist() == [1, 1, 1, 1]


def test_memory_is_bounded_and_the_choice_is_seeded() -> None:
    training, groups = photos(300, 0), np.arange(300) // 2
    reference = ood.fit(training, limit=50, seed=1)
    assert reference.features.shape == (50, 6)
    assert reference.distances.shape == (50,)
    again, other = (ood.fit(training, limit=50, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(reference.features, again.features)
    assert (reference.features != other.features).any()
    assert len(ood.fit(training, groups=groups, limit=50).features) == 50
    assert len(ood.fit(training, limit=300).features) == 300


def test_storing_features_in_half_precision_loses_nothing() -> None:
    reference = ood.fit(photos(50, 0))
    stored = reference.features.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(stored, reference.features)
    np.testing.assert_allclose(np.linalg.norm(reference.features, axis=1), 1, atol=1e-3)


def names_of(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "digests": random.integers(0, 256, (count, 32), np.uint8),
        "labels": random.integers(0, 5, count),
    }


@given(count=st.integers(1, 40), most=st.integers(0, 12), seed=seeds)
def test_the_nearest_photos_equal_scikit_learn(count: int, most: int, seed: int) -> None:
    from sklearn import neighbors

    features, names = photos(count, seed), names_of(count, seed)
    reference, fresh = ood.fit(features, **names), photos(3, seed + 1)
    nearest = ood.nearest(reference, fresh, most)
    assert [len(each) for each in nearest] == [min(most, count)] * 3
    if not most:
        return
    model = neighbors.NearestNeighbors(n_neighbors=min(most, count), metric="cosine")
    gaps, indices = model.fit(reference.features).kneighbors(fresh)
    for row, gap, neighbours_of_row in zip(nearest, gaps, indices, strict=True):
        np.testing.assert_allclose([one.distance for one in row], gap, atol=5e-4)
        for one, n in zip(row, neighbours_of_row, strict=True):
            at = [d.tobytes().hex() for d in names["digests"]].index(one.digest)
            assert one.label == names["labels"][at]
            assert one.distance == pytest.approx(gap[list(neighbours_of_row).index(n)], abs=5e-4)


def test_kept_photos_keep_their_names() -> None:
    features, names = photos(300, 0), names_of(300, 0)
    reference = ood.fit(features, **names, limit=50)
    assert (reference.digests.shape, reference.labels.shape) == ((50, 32), (50,))
    for index, digest in enumerate(reference.digests):
        (at,) = np.flatnonzero((names["digests"] == digest).all(axis=1))
        assert reference.labels[index] == names["labels"][at]
        normalized = features[at] / np.linalg.norm(features[at])
        np.testing.assert_allclose(reference.features[index], normalized, atol=1e-3)
        (nearest,) = ood.nearest(reference, features[at : at + 1], 1)
        assert nearest[0].digest == digest.tobytes().hex()


def test_the_reference_is_saved_atomically_and_older_files_have_no_names(tmp_path: Path) -> None:
    reference, path = ood.fit(photos(20, 0), **names_of(20, 0)), tmp_path / "taught.npz"
    reference.save(path)
    again = ood.OODReference.read(path)
    for name in ("features", "distances", "digests", "labels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(reference, name))
    old = {
        "features": reference.features,
        "distances": reference.distances,
        "neighbours": np.array(3),
    }
    np.savez(path, allow_pickle=False, **old)
    assert ood.nearest(ood.OODReference.read(path), photos(2, 1), 5) == [[], []]


def test_a_photo_without_features_is_far_from_all() -> None:
    reference = ood.fit(photos(50, 0))
    assert ood.distances(reference, np.zeros((1, 6))).tolist() == [1]
