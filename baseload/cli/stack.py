"""`baseload stack`: the servers of a scenario on a Kubernetes cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving_ref.cluster.kubectl import Kubectl
    from serving_ref.from_scenario import Stack
    from serving_ref.manifests.render import Target
    from serving_ref.model_server.settings import OnnxModel

PLATFORMS = ("local", "eks-gpu", "triton")
CLUSTER_REDIS_URL = "redis://redis.baseload-system:6379/0"
OWN_REDIS_URL = "redis://redis:6379/0"


def _scenario_options(command: Callable[..., None]) -> Callable[..., None]:
    """What render and up have in common: how a scenario becomes a stack."""
    options = [
        click.argument("file", metavar="SCENARIO", type=click.Path()),
        click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Replace one value; repeatable."),
        click.option("--onnx", "onnx", multiple=True, metavar="MODEL=magika|FILE|image:/PATH",
                     help="Run this model for real, from a file here or in the image; the others wait as long as "
                          "their profiles say."),
        click.option("--gateways", default=1, show_default=True, type=click.IntRange(1, 100), help="Gateways."),
        click.option("--growth", default=4, show_default=True, type=click.IntRange(1, 100),
                     help="Autoscalers may go up to so many times the replicas at the start."),
        click.option("--redis", metavar="URL|own", help="The cache's server; own: the stack brings one."),
        click.option("--prometheus", metavar="URL", show_default="the local cluster's own",
                     help="Where KEDA asks for queue depths."),
        click.option("--namespace", default="baseload", show_default=True,
                     help="A namespace of the stack's own: it is made, and deleted, with the stack."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--name", default="baseload", show_default=True, help="The cluster's name."),
        click.option(
            "--context", metavar="NAME", help="Instead: the cluster of this context in your kubeconfig."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """Serve a scenario for real: gateway, model servers and cache on a Kubernetes cluster.

    \b
    Examples:
      baseload cluster up --with keda,redis
      baseload stack up scenarios/library/quickstart.yaml --set models.two-tower.load=1s
      baseload stack status
      baseload stack down
    """


@command.command()
@_scenario_options
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option(
    "--platform", type=click.Choice(PLATFORMS), default="local", show_default=True, help="The overlay."
)
@click.option(
    "--image",
    show_default="local: baseload-serving:latest",
    help="Of gateway and model server, for nodes to pull.",
)
@click.option("--keda/--no-keda", default=True, show_default=True, help="Scale model servers on queue depth.")
@json_option
def render(
    file: str, output: Path, platform: str, image: str | None, *, keda: bool, as_json: bool, **options: Any
) -> None:
    """Write the manifests of a scenario's stack: a folder for kubectl apply --server-side -k.

    \b
    Examples:
      baseload stack render scenarios/library/quickstart.yaml -o out/quickstart
      kubectl diff --server-side -k out/quickstart
      baseload stack render fleet.yaml --platform eks-gpu --image registry.example.com/serving:1 \
        --prometheus http://prometheus-server.monitoring -o out/eks
      baseload stack render fleet.yaml --platform triton --image registry.example.com/serving:1 \
        --onnx ranker=image:/models/ranker.onnx --no-keda -o out/triton
    """
    from serving_ref.manifests.render import Target, render

    if image is None and platform != "local":
        raise InvalidInput(
            f"--platform {platform}: expected --image too: one that its nodes can pull, of serving_ref/Dockerfile"
        )
    redis = options["redis"] or ("cluster" if platform == "local" else "own")
    stack = _stack(file, options, redis, triton=platform == "triton")
    target = Target(
        platform,
        options["namespace"],
        Target.image if image is None else image,
        options["prometheus"],
        keda,
        own_redis=_own_redis(stack, redis),
    )
    render(stack, target, output)
    if as_json:
        sets = {each.name: each.replicas for each in stack.replica_sets}
        click.echo(json.dumps({"path": str(output), "platform": platform, "replicas": sets}, indent=2))
    else:
        click.echo(f"wrote {output}: kubectl apply --server-side -k {output}")


@command.command()
@_scenario_options
@_cluster_options
@click.option("--image", help="An image that the cluster can pull; otherwise one is built and loaded.")
@click.option(
    "--timeout", "timeout_s", default=300, show_default=True, help="Seconds until all is to be ready."
)
@json_option
def up(
    file: str,
    name: str,
    context: str | None,
    image: str | None,
    timeout_s: float,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """Bring the stack of a scenario up on a cluster, and wait until it is ready.

    Images are built without a container engine and loaded onto the nodes of a cluster that baseload made; another
    cluster (--context) pulls the one that --image names.

    \b
    Examples:
      baseload stack up scenarios/library/quickstart.yaml --set models.two-tower.load=1s
      baseload stack up fleet.yaml --context staging --image registry.example.com/serving:1 --redis own
    """
    from serving_ref import deployment
    from serving_ref.manifests.render import Target

    redis = options["redis"] or "cluster"
    stack = _stack(file, options, redis)
    kubectl = _kubectl(name, context)
    if redis == "cluster":
        deployment.require_redis(kubectl, stack)
    keda = deployment.has_keda(kubectl)
    if keda and context is not None and options["prometheus"] is None:
        raise InvalidInput(
            f"--context {context}: expected --prometheus too: where KEDA finds the Prometheus that scrapes the stack"
        )
    if image is None:
        image = _built_and_loaded(name, context)
    if not keda:
        _say(
            "no KEDA on the cluster: replicas stay as many as the scenario says (baseload cluster up --with keda)"
        )
    target = Target(
        "local", options["namespace"], image, options["prometheus"], keda, own_redis=_own_redis(stack, redis)
    )
    deployment.apply(kubectl, stack, target, timeout_s, _say)
    _show(kubectl, target, as_json=as_json)


@command.command()
@_cluster_options
@click.option("--namespace", default="baseload", show_default=True, help="The stack's namespace.")
@json_option
def down(name: str, context: str | None, namespace: str, *, as_json: bool) -> None:
    """Take the stack away: its namespace and all that is in it.

    \b
    Example:
      baseload stack down
    """
    from serving_ref import deployment

    was_there = deployment.remove(_kubectl(name, context), namespace)
    if as_json:
        click.echo(json.dumps({"namespace": namespace, "was_there": was_there}))
    else:
        click.echo(f"{namespace}: {'gone' if was_there else 'there was nothing'}")


@command.command()
@_cluster_options
@click.option("--namespace", default="baseload", show_default=True, help="The stack's namespace.")
@json_option
def status(name: str, context: str | None, namespace: str, *, as_json: bool) -> None:
    """Say what is there of the stack, and where its gateways listen.

    \b
    Example:
      baseload stack status --json
    """
    from serving_ref.manifests.render import Target

    _show(_kubectl(name, context), Target(namespace=namespace), as_json=as_json)


def _stack(file: str, options: dict[str, Any], redis: str, *, triton: bool = False) -> Stack:
    from scenarios.load import load_scenario
    from serving_ref.from_scenario import stack_of
    from serving_ref.gateway.settings import Endpoints
    from serving_ref.manifests.render import PORT

    loaded = load_scenario(file, options["overrides"])
    onnx, onnx_files = {}, {}
    for each in options["onnx"]:
        model, onnx[model], carried = _onnx(each)
        if carried is not None:
            onnx_files[model] = carried
    known = {model.name for model in loaded.scenario.models}
    if unknown := sorted(onnx.keys() - known):
        raise InvalidInput(
            f"--onnx {unknown[0]}: there is no such model; expected one of {', '.join(sorted(known))}"
        )
    return stack_of(
        loaded,
        endpoints=lambda service: Endpoints(dns=f"{service.name}:{PORT}"),
        redis_url={"own": OWN_REDIS_URL, "cluster": CLUSTER_REDIS_URL}.get(redis, redis),
        gateways=options["gateways"],
        growth=options["growth"],
        onnx=onnx,
        onnx_files=onnx_files,
        triton=triton,
    )


_IN_IMAGE = "image:"


def _onnx(text: str) -> tuple[str, OnnxModel, Path | None]:
    """Read an --onnx: the model's name, where its server finds it, and a file that is to be carried there."""
    from serving_ref.model_server.settings import OnnxModel

    name, equals, where = text.partition("=")
    if not (name and equals and where):
        raise InvalidInput(f"--onnx {text}: expected MODEL=magika, MODEL=FILE or MODEL=image:/PATH")
    if where == "magika":
        return name, OnnxModel(package="magika"), None
    if where.startswith(_IN_IMAGE):
        path = where.removeprefix(_IN_IMAGE)
        if not path.startswith("/"):
            raise InvalidInput(f"--onnx {text}: expected an absolute path after {_IN_IMAGE}")
        return name, OnnxModel(file=path), None
    if not Path(where).is_file():
        raise InvalidInput(f"--onnx {text}: {where}: no such file")
    return name, OnnxModel(file=f"{name}.onnx"), Path(where)


def _own_redis(stack: Stack, redis: str) -> bool:
    return redis == "own" and stack.gateway.redis is not None


def _kubectl(name: str, context: str | None) -> Kubectl:
    from serving_ref.cluster.provider import find_cluster, kubectl_for_context

    return (
        find_cluster(name, "auto", _say).kubectl_when_up()
        if context is None
        else kubectl_for_context(context)
    )


def _built_and_loaded(name: str, context: str | None) -> str:
    """Build the image and give it to every node; return its name."""
    from serving_ref.cluster.images import build_image
    from serving_ref.cluster.provider import find_cluster
    from serving_ref.image import constraints, packages, requirements

    if context is not None:
        raise InvalidInput("--context: expected --image too: an image that this cluster can pull")
    archive = build_image(
        "serving",
        dependencies=requirements(),
        code=packages(),
        entrypoint=["python3", "-m", "serving_ref.gateway"],
        constraints=constraints(),
        say=_say,
    )
    find_cluster(name, "auto", _say).load(archive)
    return archive.reference


def _show(kubectl: Kubectl, target: Target, *, as_json: bool) -> None:
    from serving_ref import deployment

    found = deployment.status(kubectl, target.namespace)
    if as_json:
        click.echo(deployment.report(found))
        return
    if not found.workloads:
        click.echo(f"{found.namespace}: there is nothing")
    for each in found.workloads:
        click.echo(f"{each.name:<40} {each.ready}/{each.wanted} ready  {each.image}")
    for address in found.gateways:
        click.echo(f"gateway at http://{address}")


def _say(text: str) -> None:
    click.echo(text, err=True)
