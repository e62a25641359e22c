"""The files that put a committee on a cluster, held against what reads them."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import triptych.scale
from triptych import errors
from triptych.cli import main
from triptych.scale import config
from triptych.scale.arguments import Arguments

PLAIN = Arguments()
OPEN = {"settings": {"host": "0.0.0.0"}}
PODS = config.Pods("registry.example/triptych:1", cores=8, memory_gib=20)


def schema(text: str) -> Any:
    """As Ray Serve reads it."""
    from ray.serve.schema import ServeDeploySchema

    return ServeDeploySchema.model_validate(yaml.safe_load(text))


def args(text: str) -> dict[str, Any]:
    """What the application's builder is given."""
    (application,) = schema(text).applications
    application_args: dict[str, Any] = application.args
    return application_args


def service(arguments: Arguments = PLAIN, pods: config.Pods = PODS) -> dict[str, Any]:
    """The specification of a RayService."""
    document = yaml.safe_load(config.kuberay(arguments, pods))
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", "RayService")
    spec: dict[str, Any] = document["spec"]
    return spec


def pods(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the head and of a worker."""
    cluster = spec["rayClusterConfig"]
    (workers,) = cluster["workerGroupSpecs"]
    head, worker = cluster["headGroupSpec"]["template"], workers["template"]
    return head["spec"], worker["spec"]


def run(*arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(main, ["scale", "config", *arguments])
    return ran.exit_code, ran.output


# ------------------------------------------------------------------ serve deploy


def test_serve_reads_the_file_and_finds_the_application() -> None:
    text = config.serve(Arguments(committee="lite"), port=8123)
    deployed = schema(text)
    assert (deployed.http_options.host, deployed.http_options.port) == ("127.0.0.1", 8123)
    module, _, name = deployed.applications[0].import_path.partition(":")
    assert getattr(importlib.import_module(module), name) is triptych.scale.build
    # The studio's own deadline comes first.
    assert deployed.http_options.request_timeout_s == 70


def test_only_options_that_differ_from_the_defaults_are_written() -> None:
    assert args(config.serve(Arguments(), port=8000)) == {"committee": "auto"}
    other = Arguments(committee="lite", cores=2, max_replicas=3, ingress_max_replicas=1)
    expected = {"committee": "lite", "cores": 2, "max_replicas": 3}
    assert args(config.serve(other, port=8000)) == expected


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)


@given(
    st.builds(
        Arguments,
        committee=texts,
        members=st.none() | st.lists(texts, max_size=3),
        cores=st.floats(0.01, 100),
        settings=st.fixed_dictionaries({}, optional={"allowed_hosts": texts}),
    )
)
def test_a_written_configuration_can_be_read(arguments: Arguments) -> None:
    assert Arguments(**args(config.serve(arguments, port=8000))) == arguments


def test_listening_beyond_this_machine_needs_a_key() -> None:
    assert args(config.serve(Arguments(**OPEN), port=8000))["needs_key"] is True
    open_to_all = args(config.serve(Arguments(**OPEN, insecure=True), port=8000))
    assert "needs_key" not in open_to_all
    assert open_to_all["insecure"] is True


# ------------------------------------------------------------------ KubeRay


def test_a_rayservice_holds_a_file_that_serve_reads() -> None:
    text = service(Arguments(committee="lite", rule="cascade", home="/here"))["serveConfigV2"]
    assert schema(text).http_options.host == "0.0.0.0"
    # A folder of this machine is none of the pods'.
    assert args(text) == {"committee": "lite", "rule": "cascade", "needs_key": True, **OPEN}


def test_pods_have_the_requested_resources() -> None:
    spec = service(PLAIN, config.Pods("own:2", 4, 10, 3, 7))
    (group,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    assert (group["minReplicas"], group["replicas"], group["maxReplicas"]) == (3, 3, 7)
    worker = pods(spec)[1]["containers"][0]
    assert worker["image"] == "own:2"
    resources = {"cpu": "4", "memory": "10Gi"}
    assert worker["resources"] == {"requests": resources, "limits": resources}


def test_pods_have_probes_shared_memory_and_no_telemetry() -> None:
    for pod in pods(service()):
        (container,) = pod["containers"]
        named = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert (named["serve"], named["metrics"]) == (8000, 8080)
        assert container["livenessProbe"]["httpGet"]["port"] == 52365
        assert "httpGet" in container["readinessProbe"]
        variables = {one["name"]: one.get("value") for one in container["env"]}
        assert variables["RAY_USAGE_STATS_ENABLED"] == "0"
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert {volume["name"] for volume in pod["volumes"]} == set(mounts)
        assert mounts["shared-mem"] == "/dev/shm"
        assert mounts["home"] == variables["TRIPTYCH_HOME"]


def test_shared_memory_fits_into_the_pods() -> None:
    volumes = {volume["name"]: volume["emptyDir"] for volume in pods(service())[1]["volumes"]}
    assert volumes["shared-mem"] == {"medium": "Memory", "sizeLimit": "6Gi"}


def test_a_worker_has_time_to_finish_its_requests() -> None:
    worker = pods(service(Arguments(graceful_shutdown_timeout_s=45)))[1]
    waits = int(worker["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert waits == 45
    assert worker["terminationGracePeriodSeconds"] > waits + 45


@pytest.mark.parametrize("insecure", [False, True])
def test_the_key_comes_from_a_secret(insecure: bool) -> None:
    for pod in pods(service(Arguments(insecure=insecure))):
        named = {one["name"]: one.get("valueFrom") for one in pod["containers"][0]["env"]}
        key = {"secretKeyRef": {"name": "triptych", "key": "api-key"}}
        assert named.get("TRIPTYCH_API_KEY") == (None if insecure else key)
    text = config.kuberay(Arguments(insecure=insecure), PODS)
    assert ("kubectl create secret" in text) is not insecure


def test_resources_that_cannot_fit_are_refused() -> None:
    with pytest.raises(errors.SettingError, match="needs 9 cores, and a worker has 8"):
        config.kuberay(Arguments(cores=9), PODS)
    with pytest.raises(errors.SettingError, match="fewest workers, 5, are more than the most, 3"):
        config.kuberay(Arguments(), config.Pods("own", min_workers=5, max_workers=3))


# ------------------------------------------------------------------ the command


def test_the_command_writes_either_file() -> None:
    options = ("--committee", "lite", "--max-replicas", "2", "--port", "8001")
    code, text = run(*options)
    assert code == 0
    assert schema(text).http_options.port == 8001
    assert {"committee": "lite", "max_replicas": 2}.items() <= args(text).items()
    code, text = run(*options, "--kuberay", "--image", "own:1", "--min-workers", "4")
    assert code == 0
    assert yaml.safe_load(text)["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["replicas"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kuberay"], "--kuberay needs --image"),
        (["--image", "own:1"], "--image is for pods of Kubernetes"),
        (["--worker-cores", "4"], "--worker-cores is for pods of Kubernetes"),
        (["--min-replicas", "3"], "fewest replicas, 3"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: list[str], message: str) -> None:
    code, text = run(*options)
    assert (code, message in text) == (2, True)
