"""Send a launch to a Ray cluster as a Ray job, which goes on when this laptop is closed.

python jobs/submit.py jobs/five-axes.yaml --address http://127.0.0.1:8265 --storage s3://BUCKET/sweeps

The address is the cluster's dashboard (`ray dashboard cluster.yaml` forwards it to this port); a cluster with
token authentication takes the token from RAY_AUTH_TOKEN or ~/.ray/auth_token. Only the grid's folder travels,
with the models and tasks of your own in it; phasediag is installed on the nodes already. Options after `--`
are handed to launch. Needs the extra `cluster`.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from ray.job_submission import JobSubmissionClient


def entrypoint(grid: Path, storage: str, options: tuple[str, ...]) -> str:
    """Command line that the cluster's head runs inside the grid's folder."""
    return shlex.join(["phasediag", "launch", grid.name, "--address", "auto", "--storage", storage, *options])


@click.command(help=__doc__)
@click.argument("grid", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--address", required=True, help="The dashboard, http://host:8265.")
@click.option("--storage", required=True, help="A URI that every node can write.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def submit(grid: Path, address: str, storage: str, options: tuple[str, ...]) -> None:
    client = JobSubmissionClient(address)
    job = client.submit_job(
        entrypoint=entrypoint(grid, storage, options),
        runtime_env={"working_dir": str(grid.resolve().parent)},
        metadata={"grid": grid.name},
    )
    click.echo(f"{job}\nfollow it: ray job logs {job} --address {address} --follow")


if __name__ == "__main__":
    submit()
