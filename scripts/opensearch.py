"""A real OpenSearch on this machine, from Maven artifacts, without Docker: for the contract tests and the benchmarks.

``python -m scripts.opensearch`` installs it once, into a cache outside the checkout (``ANNALS_CACHE`` names another
place), and runs it on a loopback port until Ctrl-C. It needs Maven and a Java of 21 or later, looked for in
``JAVA_HOME`` and in ``/usr/lib/jvm``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts import programs

VERSION = "3.4.0"
MINIMUM_JAVA = 21
START_S = 120
STOP_S = 30

DISTRIBUTION = f"org.opensearch.distribution.integ-test-zip:opensearch:{VERSION}:zip"
PLUGINS = {
    "opensearch-job-scheduler": f"org.opensearch.plugin:opensearch-job-scheduler:{VERSION}.0:zip",
    "opensearch-knn": f"org.opensearch.plugin:opensearch-knn:{VERSION}.0:zip",
}
MODULES = {  # folder: (artifact, class of the plugin, the module that it extends)
    "lang-painless": ("lang-painless", "org.opensearch.painless.PainlessModulePlugin", ""),
    "analysis-common": (
        "analysis-common",
        "org.opensearch.analysis.common.CommonAnalysisModulePlugin",
        "lang-painless",
    ),
    "reindex": ("reindex-client", "org.opensearch.index.reindex.ReindexModulePlugin", ""),
}
DESCRIPTOR = """\
description={name}
version={version}
name={name}
classname={classname}
java.version=21
opensearch.version={version}
custom.foldername=
extended.plugins={extends}
has.native.controller=false
"""
POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>module</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.opensearch.plugin</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
  </dependency></dependencies>
</project>
"""
PAINLESS_POLICY = """\
grant {
  permission java.lang.RuntimePermission "createClassLoader";
  permission java.lang.RuntimePermission "getClassLoader";
};
"""
CONFIGURATION = """\
discovery.type: single-node
network.host: 127.0.0.1
http.port: {http}
transport.port: {transport}
path.data: {folder}/data
path.logs: {folder}/logs
cluster.routing.allocation.disk.threshold_enabled: false
"""


def missing() -> str | None:
    """What this machine lacks to run OpenSearch, in a sentence, or None."""
    if java_home() is None:
        return f"OpenSearch needs Java {MINIMUM_JAVA} or later (in JAVA_HOME or /usr/lib/jvm), or OPENSEARCH_URL"
    if shutil.which("mvn") is None and not (home() / ".complete").exists():
        return "installing OpenSearch needs Maven (mvn), or OPENSEARCH_URL"
    return None


def java_home() -> Path | None:
    """The newest Java of 21 or later on this machine."""
    named = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    versions = {folder: _java_version(folder) for folder in [*named, *sorted(Path("/usr/lib/jvm").glob("*"))]}
    newest = max(versions, key=lambda folder: versions[folder], default=None)
    return newest if newest is not None and versions[newest] >= MINIMUM_JAVA else None


def _java_version(folder: Path) -> int:
    release = folder / "release"
    if not (folder / "bin" / "java").exists() or not release.is_file():
        return 0
    version = re.search(r'JAVA_VERSION="(\d+)', release.read_text())
    return int(version[1]) if version else 0


def home() -> Path:
    """Where OpenSearch is, or will be, installed. Root's own home is closed to the user that OpenSearch runs as."""
    default = "/var/cache/annals" if _is_root() else "~/.cache/annals"
    return Path(os.environ.get("ANNALS_CACHE", default)).expanduser() / f"opensearch-{VERSION}"


def install() -> Path:
    """Install OpenSearch if that has not been done; the folder is complete or is not there."""
    target = home()
    if (target / ".complete").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="installing-") as name:
        folder = Path(name)
        built = _unpack(_artifact(DISTRIBUTION, folder), folder)
        for module, (artifact, classname, extends) in MODULES.items():
            _add_module(built, module, artifact, classname, extends)
        for coordinates in PLUGINS.values():
            _add_plugin(built, _artifact(coordinates, folder))
        (built / ".complete").touch()
        subprocess.run(["chmod", "-R", "a+rX", str(built)], check=True)  # noqa: S603, S607
        shutil.rmtree(target, ignore_errors=True)
        built.rename(target)
    return target


@contextmanager
def running(port: int | None = None) -> Iterator[str]:
    """An OpenSearch of its own on a loopback port, empty, gone afterwards. Gives its URL."""
    installed = install()
    with tempfile.TemporaryDirectory(prefix="annals-opensearch-") as name:
        folder = Path(name)
        http = port or _free_port()
        _configure(installed, folder, http)
        process = _start(installed, folder)
        try:
            url = f"http://127.0.0.1:{http}"
            _await_ready(process, url, folder)
            yield url
        finally:
            _stop(process)


def _maven(*arguments: str) -> None:
    command = ["mvn", "--quiet", "--batch-mode", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")


def _artifact(coordinates: str, folder: Path) -> Path:
    _maven("dependency:copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}")
    _group, name, version, kind = coordinates.split(":")
    return folder / f"{name}-{version}.{kind}"


def _unpack(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder / "unpacked")
    archive.unlink()
    (built,) = (folder / "unpacked").iterdir()
    for program in (built / "bin").iterdir():
        program.chmod(0o755)
    return built


def _add_module(built: Path, name: str, artifact: str, classname: str, extends: str) -> None:
    """Add a module that the distribution for tests lacks, with the jars that ``lib`` does not have already."""
    module = built / "modules" / name
    with tempfile.TemporaryDirectory() as folder:
        pom = Path(folder) / "pom.xml"
        pom.write_text(POM.format(artifact=artifact, version=VERSION))
        _maven("-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={module}")
    for jar in module.glob("*.jar"):
        if (built / "lib" / jar.name).exists():
            jar.unlink()
    descriptor = DESCRIPTOR.format(name=name, version=VERSION, classname=classname, extends=extends)
    (module / "plugin-descriptor.properties").write_text(descriptor)
    if name == "lang-painless":
        (module / "plugin-security.policy").write_text(PAINLESS_POLICY)


def _add_plugin(built: Path, archive: Path) -> None:
    command = [str(built / "bin" / "opensearch-plugin"), "install", "--batch", archive.as_uri()]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _environment(**more: str) -> dict[str, str]:
    java = java_home()
    if java is None:
        raise RuntimeError(missing())
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OPENSEARCH_", "JAVA_"))}
    return {**inherited, "OPENSEARCH_JAVA_HOME": str(java), "JAVA_HOME": str(java), **more}


def _configure(installed: Path, folder: Path, http: int) -> None:
    """A configuration, data and logs of this run's own, which belong to the user that runs it."""
    shutil.copytree(installed / "config", folder / "config")
    text = CONFIGURATION.format(http=http, transport=_free_port(), folder=folder)
    (folder / "config" / "opensearch.yml").write_text(text)
    options = folder / "config" / "jvm.options"
    options.write_text(options.read_text().replace("logs/", f"{folder}/logs/"))
    (folder / "logs").mkdir()
    if _is_root():
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, "nobody", "nogroup")


def _start(installed: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start OpenSearch in a process group of its own; it refuses to run as root."""
    environment = _environment(
        OPENSEARCH_PATH_CONF=str(folder / "config"),
        OPENSEARCH_JAVA_OPTS="-Xms512m -Xmx512m",
        OPENSEARCH_TMPDIR=str(folder),
    )
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if _is_root() else {}
    command = [str(installed / "bin" / "opensearch")]
    return programs.start(command, folder / "console.log", cwd=folder, env=environment, **user)


def _await_ready(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_cluster/health?wait_for_status=yellow&timeout=5s", timeout=10):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    tail = (folder / "console.log").read_text(errors="replace")[-3000:]
    raise RuntimeError(f"OpenSearch ended, or was not ready within {START_S} s:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                continue


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def main() -> None:
    """Install and run until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, help="the loopback port (a free one by default)")
    parser.add_argument("--install-only", action="store_true", help="install and say where, without running")
    arguments = parser.parse_args()
    reason = missing()
    if reason:
        sys.exit(reason)
    if arguments.install_only:
        print(install())
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running(arguments.port) as url:
        print(f"OpenSearch {VERSION} on {url} (Ctrl-C stops it)", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping")


if __name__ == "__main__":
    main()
