"""The compose file, as Debian's docker-compose reads it: without secrets it is refused, and nothing is open outside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SECRETS = {
    "RAY_AUTH_TOKEN": "one",
    "FEDSIM_TOKEN": "two",
    "POSTGRES_PASSWORD": "three",
    "POSTGRES_ADMIN_PASSWORD": "four",
}
COMPOSE = shutil.which("docker-compose")
needs_compose = pytest.mark.skipif(COMPOSE is None, reason="needs docker-compose (apt-get install docker-compose)")


def _config(secrets: dict[str, str], *profiles: str) -> subprocess.CompletedProcess[str]:
    assert COMPOSE is not None
    words = [word for profile in profiles for word in ("--profile", profile)]
    command = [
        COMPOSE,
        "--env-file",
        str(ROOT / ".env.example"),
        "-f",
        str(ROOT / "docker-compose.yml"),
        *words,
        "config",
    ]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]} | secrets)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Every service, with all profiles on."""
    done = _config(SECRETS, "gpu", "prometheus")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return found


@pytest.mark.slow
@needs_compose
@pytest.mark.parametrize("secret", SECRETS)
def test_without_a_secret_nothing_starts(secret: str) -> None:
    done = _config({name: value for name, value in SECRETS.items() if name != secret})
    assert done.returncode != 0
    assert f"set {secret} in .env" in done.stderr


@needs_compose
def test_every_open_port_is_on_loopback(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert sorted(ports) == ["metrics", "prometheus"]
    assert all(str(port).startswith("127.0.0.1:") for given in ports.values() for port in given)


@needs_compose
def test_ray_asks_for_a_token_and_has_shared_memory_and_health_checks(services: dict[str, Any]) -> None:
    for name in ("ray-head", "ray-worker", "ray-worker-gpu"):
        service = services[name]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["shm_size"]
        assert service["healthcheck"]["test"][0] == "CMD"
    assert "--num-cpus=0" in services["ray-head"]["command"]
    (device,) = services["ray-worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


@needs_compose
def test_services_wait_for_what_they_need_and_some_are_there_only_by_profile(services: dict[str, Any]) -> None:
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    assert profiles == {"ray-worker-gpu": ["gpu"], "prometheus": ["prometheus"]}
    assert sorted(set(services) - set(profiles)) == ["metrics", "postgres", "ray-head", "ray-worker"]
    assert services["ray-worker"]["depends_on"] == {"ray-head": {"condition": "service_healthy"}}
    assert all("healthcheck" in service for service in services.values())
    assert services["metrics"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@needs_compose
def test_every_service_gives_up_privileges_and_has_limits(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert any(place.startswith("/tmp:") for place in service["tmpfs"]), name
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service), name


@needs_compose
def test_every_image_from_elsewhere_has_a_version(services: dict[str, Any]) -> None:
    images = {service["image"] for service in services.values() if not service["image"].startswith("fedsim:")}
    assert len(images) == 2
    assert all(re.search(r":v?\d+\.\d+", image) for image in images)


@needs_compose
def test_the_superuser_of_the_database_is_known_to_the_database_only(services: dict[str, Any]) -> None:
    knowing = [name for name, service in services.items() if "four" in service.get("environment", {}).values()]
    assert knowing == ["postgres"]
    assert services["postgres"]["environment"]["POSTGRES_USER"] != "fedsim"


def test_the_role_of_the_database_is_no_superuser() -> None:
    text = (ROOT / "deploy" / "postgres-role.sh").read_text()
    (created,) = re.findall(r"CREATE ROLE fedsim .*", text)
    assert {"NOSUPERUSER", "NOCREATEDB", "NOCREATEROLE", "NOREPLICATION", "NOBYPASSRLS"} <= set(created.split())


def test_the_image_is_pinned_and_does_not_run_as_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^FROM python:3\.\d+\.\d+-", text, re.MULTILINE)
    assert re.search(r"^USER (?!root)\w+", text, re.MULTILINE)
    assert text.count("-c deploy/constraints.txt") == text.count("pip install")
    for pattern in re.findall(r"^COPY (?:--\S+ )?(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in pattern.split())


def test_every_dependency_has_a_pinned_version() -> None:
    pinned = {re.split("==", line)[0].lower().replace("_", "-") for line in _constraints()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    names = {re.split(r"[\[<>=!~ ]", text)[0].lower() for text in wanted}
    assert names <= pinned


def _constraints() -> list[str]:
    lines = (ROOT / "deploy" / "constraints.txt").read_text().splitlines()
    return [line for line in lines if "==" in line]
