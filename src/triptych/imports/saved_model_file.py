"""What a TensorFlow SavedModel says of itself, read before any library opens it.

The numbers of the fields are those of TensorFlow's ``saved_model.proto``, ``meta_graph.proto``,
``graph.proto`` and ``function.proto``.
"""

from __future__ import annotations

from pathlib import Path

from triptych import errors
from triptych.imports import protobuf
from triptych.imports.facts import FileFacts
from triptych.utils.text import text

GRAPH_FILE = "saved_model.pb"
MODEL_META, META_GRAPH, META_INFO, META_ASSETS, INFO_VERSION = 2, 2, 1, 6, 5
GRAPH_NODE, GRAPH_LIBRARY, LIBRARY_FUNCTION, FUNCTION_NODE, NODE_OPERATION = 1, 2, 1, 3, 2
MAX_BYTES = 2 << 30

# Operations that run Python, or reach beyond the model. TensorFlow runs whatever a SavedModel has;
# those that save and restore its variables are in each.
CODE = ("PyFunc", "EagerPyFunc", "PyFuncStateless", "NumpyFunction", "XlaPythonCallback")
REACHING = (
    "ReadFile", "WriteFile", "MatchingFiles", "DecodeProto", "EncodeProto", "WholeFileReader",
    "FixedLengthRecordReader", "TFRecordReader", "TextLineReader", "LoadAndRemapMatrix", "Save",
    "SaveSlices", "SaveDataset", "DebugIdentity", "DebugIdentityV2", "PrintV2", "Print", "Send",
    "Recv", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2", "RpcCall", "Rpc",
    "TryRpc", "ImageSummary", "WriteSummary", "CreateSummaryFileWriter", "SummaryWriter",
    "CollectiveReduce", "GenerateBigQueryReaderPartitions", "RemoteCall", "ImmutableConst",
)  # fmt: skip


def read_facts(path: Path) -> FileFacts:
    """Check a SavedModel, and read which program wrote it.

    Args:
        path: Its folder; not trusted.

    Raises:
        errors.SourceError: It is no SavedModel, or cut short.
        errors.WeightsDamaged: It has operations that run Python, or that reach for files.
    """
    kinds: set[str] = set()
    version = ""
    file = path / GRAPH_FILE
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError("its graph has more than 2 GB")
        model = memoryview(file.read_bytes())
        for meta in protobuf.messages(model, MODEL_META):
            version = protobuf.text(meta, META_INFO, INFO_VERSION) or version
            for graph in protobuf.messages(meta, META_GRAPH):
                for numbers in (
                    (GRAPH_NODE,),
                    (GRAPH_LIBRARY, LIBRARY_FUNCTION, FUNCTION_NODE),
                ):
                    for node in protobuf.messages(graph, *numbers):
                        kinds.add(protobuf.text(node, NODE_OPERATION))
    except (OSError, ValueError) as error:
        raise errors.SourceError(
            text(
                "{path} cannot be read as a SavedModel: {error}. Export the model again.",
                path=path.name,
                error=error,
            )
        ) from None
    if not kinds:
        raise errors.SourceError(
            text("{path} has no graph. Export the model again.", path=path.name)
        )
    for reason, refused in (
        (text("run code"), CODE),
        (text("reach beyond the model"), REACHING),
    ):
        if found := sorted(kinds & {*refused}):
            raise errors.WeightsDamaged(
                text(
                    "{path} has operations that {reason}, and is not opened: {found}. Export the "
                    "model without them, for inference only.",
                    path=path.name,
                    reason=reason,
                    found=", ".join(found),
                )
            )
    return FileFacts(f"tensorflow {version}".strip())
