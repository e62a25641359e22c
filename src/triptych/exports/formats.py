"""The formats of exports: one table, which the command, the checks and the studio read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.exports.source import STATUSES
from triptych.exports.source import Answer
from triptych.exports.source import Source
from triptych.typing import UInt8Image
from triptych.utils import extras
from triptych.utils.text import text

# Answers a photo, RGB, shape (H, W, 3), by an exported file in its own runtime.
Run = Callable[[UInt8Image], Answer]


@dataclass(frozen=True)
class Format:
    """A format of exports.

    Args:
        name: By which people choose it.
        ending: Of its files, such as ``".onnx"``; empty for a folder.
        summary: What is in the file, in a line without capital and full stop.
        write: Writes a committee to a path that is not there yet.
        open: Opens what was written in the format's own runtime.
        program: Name of the program that is written beside it, in ``exports/programs``; empty if
            it needs none.
        packages: What writing and checking needs, as imported.
        extra: The extra of triptych that brings these.
        int8_tolerance: How far the probability of a class may be from that of the committee, both
            with int8 networks.
        other_programs: Names of programs in further languages.
        prefers_int8: Whether the precision ``"auto"`` takes int8 networks where there are some.

    Example:
        >>> find("lite.onnx").name
        'onnx'
    """

    name: str
    ending: str
    summary: str
    write: Callable[[Source, Path], None]
    open: Callable[[Path], Run]
    program: str
    packages: tuple[str, ...] = ()
    extra: str = "export"
    int8_tolerance: float = 0.1
    other_programs: tuple[str, ...] = ()
    prefers_int8: bool = False

    def require(self) -> None:
        """Refuse to export where a package is missing.

        Raises:
            errors.SettingError: One is; the message says how to install it.
        """
        extras.require(
            text("Exporting to {name}", name=self.name), *self.packages, extra=self.extra
        )


def _write_openvino(source: Source, path: Path) -> None:
    import openvino

    from triptych.exports import committee_graph

    openvino.save_model(committee_graph.build(source), path, compress_to_fp16=False)


def _open_openvino(path: Path) -> Run:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    names = [output.any_name for output in model.outputs]
    request = core.compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    ).create_infer_request()

    def run(photo: UInt8Image) -> Answer:
        outputs = request.infer({"image": photo})
        return answer({name: np.array(outputs[name]) for name in names})

    return run


def _write_onnx(source: Source, path: Path) -> None:
    import onnx

    from triptych.exports import committee_graph
    from triptych.exports import onnx_graph

    onnx.save_model(onnx_graph.translate(committee_graph.build(source)), path)


def _open_onnx(file: Path | bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: that an optimization does not apply is of no use here
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(photo: UInt8Image) -> Answer:
        outputs = session.run(names, {"image": photo})
        return answer(dict(zip(names, outputs, strict=True)))

    return run


def _by_keras(kind: str, ending: str, summary: str, *, int8_tolerance: float = 0.0) -> Format:
    """A format that Keras and TensorFlow write and open."""

    def write(source: Source, path: Path) -> None:
        from triptych.exports import keras_formats

        keras_formats.write(source, path, kind)

    def opened(path: Path) -> Run:
        from triptych.exports import keras_formats

        return keras_formats.KerasRun(path, kind)

    return Format(
        kind,
        ending,
        text(
            "the committee {summary}; photos go in cut to size, which the program beside it does, "
            "and a cascade runs all its networks",
            summary=summary,
        ),
        write,
        opened,
        "classify_crops.py",
        ("keras", "tensorflow"),
        extra="tensorflow",
        int8_tolerance=int8_tolerance,
    )


def _write_page(source: Source, path: Path) -> None:
    from triptych.exports import committee_graph
    from triptych.exports import html_page
    from triptych.exports import onnx_graph

    model = onnx_graph.translate(committee_graph.build(source)).SerializeToString()
    path.write_text(html_page.build(source, model, source.home), encoding="utf-8")


def _open_page(path: Path) -> Run:
    """The committee in a page; a browser runs it by onnxruntime, too."""
    from triptych.exports import html_page

    return _open_onnx(html_page.model_of(path))


def answer(outputs: dict[str, Any]) -> Answer:
    """The answer of a whole committee, from the outputs of its graph by their names."""
    novelty = outputs.get("novelty")
    return Answer(
        probs=outputs["probs"],
        status=STATUSES[int(outputs["status"])],
        prediction_set=outputs.get("set"),
        features=outputs["features"],
        novelty=None if novelty is None else float(novelty),
        holds=outputs.get("holds"),
    )


FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format(
            "onnx",
            ".onnx",
            text("the whole committee in one graph, for onnxruntime and what else reads ONNX"),
            _write_onnx,
            _open_onnx,
            "classify_onnx.py",
            packages=("onnx", "onnxruntime"),
            other_programs=("classify_onnx.mjs", "classify_onnx.cpp"),
        ),
        Format(
            "page",
            ".html",
            text("a page that answers in any browser without a server, the committee inside"),
            _write_page,
            _open_page,
            "",
            packages=("onnx", "onnxruntime"),
            prefers_int8=True,
        ),
        Format(
            "openvino",
            ".xml",
            text(
                "the whole committee in one graph, for OpenVINO; its weights are in the "
                ".bin beside it"
            ),
            _write_openvino,
            _open_openvino,
            "classify_openvino.py",
        ),
        _by_keras(
            "litert",
            ".tflite",
            text("for LiteRT (TensorFlow Lite) on phones and small devices"),
            # Between layers LiteRT has one range for all channels, and OpenVINO one for each.
            # Measured: 0.13 on drawn photos, where int8 networks are up to 0.23 from the f32 ones.
            int8_tolerance=0.2,
        ),
        _by_keras(
            "savedmodel",
            ".savedmodel",
            text("for TensorFlow, in a folder, with a signature for each network, too"),
        ),
        _by_keras("keras", ".keras", text("as a Keras model of Keras's own layers")),
    )
}


def find(path: Path | str, name: str | None = None) -> Format:
    """The format of a file.

    Args:
        path: The file, whose ending says it.
        name: Of the format; by default the ending decides.

    Raises:
        errors.UnknownName: There is no such format.
        errors.SettingError: The ending is that of none.
    """
    if name is not None:
        if name not in FORMATS:
            raise errors.UnknownName(
                text(
                    "There is no format {name!r}; expected one of: {formats}.",
                    name=name,
                    formats=", ".join(FORMATS),
                )
            )
        return FORMATS[name]
    for row in FORMATS.values():
        if row.ending and Path(path).suffix.lower() == row.ending:
            return row
    known = ", ".join(f"{row.ending} ({row.name})" for row in FORMATS.values() if row.ending)
    raise errors.SettingError(
        text(
            "{name} does not say its format; expected one of the endings {known}, or the "
            "format by its name: --format NAME.",
            name=Path(path).name,
            known=known,
        )
    )
