"""What is shown of the fleet in containers, a function for each claim; each tells what it saw, and raises EngineError when the claim does not hold."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

from deploy.containers.engine import CHECKOUT, GENTLY, Engine, EngineError
from deploy.containers.project import Project

Tell = Callable[[str], None]
# Killing begins when the buyers have paid: from here on everything is the fleet's to finish.
FROM_HERE = "they pay, and the vendor says so"
PAYMENT = re.compile(r"journey of payment (\d+)")
# Asked of the base's own interpreter, under the one of the environment.
BASE_LOOK = """base=$(python -c 'import sys; print(sys._base_executable)')
$base -c 'import importlib.util as u; print(*filter(u.find_spec, ("pip", "setuptools", "wheel")))'"""
TOOLS = ("pip", "pip3", "gcc", "cc", "make", "npm", "node", "git", "curl")
# Shorter values (a mail address that is the same everywhere, a user's name) are no secrets.
SHORTEST = 16
HTTP_NOT_FOUND = 404
READY_S = 600


def linted(engine: Engine, tell: Tell) -> None:
    """The Dockerfile is clean for hadolint."""
    engine.run("hadolint", "deploy/Dockerfile")
    tell("hadolint: nothing to say about deploy/Dockerfile")


def image(engine: Engine, tell: Tell) -> None:
    """The images: how large, whose, and without tools."""
    for name in ("paygateprime", "paygateprime-sandbox"):
        found = json.loads(engine.podman("image", "inspect", f"localhost/{name}"))[0]
        tell(f"image {name}: {found['Size'] / 1e6:.0f} MB, user {found['User']}, title {found['Labels']['org.opencontainers.image.title']}")
        look = f"for tool in {' '.join(TOOLS)}; do command -v $tool; done; true\n{BASE_LOOK}"
        tools = engine.podman("run", "--rm", "--network", "none", "--read-only", f"localhost/{name}", "sh", "-c", look).split()
        if tools or found["User"] != "10001":
            raise EngineError(f"{name} has {tools} and runs as {found['User']}")
    whole = engine.podman("run", "--rm", "--network", "none", "localhost/paygateprime", "sh", "-c", "ls /app/deploy; ls /books 2>&1 | tail -1")
    tell(f"in the product's /app/deploy: {' '.join(whole.split())}")


def came_up(project: Project, tell: Tell) -> None:
    """Everything is up and healthy, each container as its own user over a root that it cannot write, and one port is open."""
    seconds = project.wait_ready()
    running = [container for container in project.containers() if container.state == "running"]
    tell(f"{len(running)} containers run and are healthy, {len(project.containers()) - len(running)} jobs have ended well; the last wait took {seconds:.0f} s")
    for container in running:
        if not container.described["HostConfig"]["ReadonlyRootfs"]:
            raise EngineError(f"{container.service} can write its root")
    ours = [
        container for container in running if "paygateprime" in container.described["Config"]["Image"] or "paygateprime" in container.described["ImageName"]
    ]
    users = {container.service: project.engine.podman("exec", container.name, "id", "-u").strip() for container in ours}
    if set(users.values()) != {"10001"}:
        raise EngineError(f"somebody runs as another user: {users}")
    ports = project.open_ports()
    if list(ports) != ["edge"]:
        raise EngineError(f"open ports: {ports}")
    tell(f"{len(users)} containers of ours run as 10001 over a read-only root; open to this machine: {ports}")


def edge_is_a_table(project: Project, tell: Tell) -> None:
    """The edge answers on public paths, and 404 on everything else."""
    seen = {path: _status(project, path) for path in ("/openapi.json", "/docs", "/task", "/sweep", "/process", "/readyz", "/metrics", "/check-threshold")}
    tell(f"the edge: {seen}")
    if any((status == HTTP_NOT_FOUND) != (path not in {"/openapi.json", "/docs"}) for path, status in seen.items()):
        raise EngineError("the edge does not follow the table of public paths")


def _status(project: Project, path: str) -> int:
    request = urllib.request.Request(f"{project.url}{path}", headers={"Host": f"pgp.localhost:{project.port}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def own_secrets_only(project: Project, tell: Tell) -> None:
    """The signer alone has the wallet's key, and a vendor its own credentials."""
    for service in ("pgp-np-ipn-v1", "pgp-hostpay3-v1", "telegram"):
        script = "cut -d= -f1 /run/secrets/secrets.env | tr '\\n' ' '; ls /run/secrets | wc -l"
        words = project.engine.podman("exec", project.container(service).name, "sh", "-c", script).split()
        tell(f"secrets of {service}: {' '.join(words[:-1])}")
        if ("HOST_WALLET_PRIVATE_KEY" in words) != (service == "pgp-hostpay3-v1") or words[-1] != "1":
            raise EngineError(f"{service} sees {words}")


def demo(project: Project, tell: Tell) -> str:
    """`pgp --target compose demo` passes; gives back the first payment's id."""
    began = time.monotonic()
    said = project.pgp("demo", "--patience", "600")
    # The acts and the payouts; the journey after them is a page.
    tell(said.partition("\nThe journey")[0].rstrip())
    tell(f"pgp --target compose demo: exit 0 after {time.monotonic() - began:.0f} s")
    found = PAYMENT.search(said)
    if found is None:
        raise EngineError("the demonstration named no payment")
    return found[1]


def doctor(project: Project, tell: Tell) -> None:
    """`pgp --target compose doctor` is content."""
    tell(f"pgp --target compose doctor: {project.pgp('doctor').strip()}")


def memory(project: Project, tell: Tell) -> None:
    """What each container takes."""
    tell("memory: " + ", ".join(f"{service} {used}" for service, used in sorted(project.memory().items())))


def redis_counts(project: Project, tell: Tell) -> None:
    """The services reach Redis: without it they would count in PostgreSQL, and killing it would show nothing."""
    without = [container.service for container in project.containers() if "Redis does not answer" in project.log(container.service)]
    if without:
        raise EngineError(f"Redis does not answer {', '.join(without)}")
    tell("no service has missed Redis")


def survives_kills(project: Project, services: Sequence[str], tell: Tell) -> None:
    """While one demonstration plays, these containers are killed one after another; it passes all the same, doctor included."""
    env = {**project.engine.env, **project.env, "PGP_COMPOSE": "podman-compose"}
    argv = [*GENTLY, str(CHECKOUT / ".venv" / "bin" / "python"), "-m", "PGP_COMMON.cli", "--target", "compose", "demo", "--patience", "600"]
    log = project.engine.work / "killed-demo.log"
    began = time.monotonic()
    with log.open("wb") as out:
        child = subprocess.Popen(argv, cwd=CHECKOUT, env=env, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        killed = _kill_while(project, child, services, lambda: FROM_HERE in log.read_text(errors="replace"))
        status = child.wait(1800)
    finally:
        if child.poll() is None:
            child.kill()
    said = log.read_text(errors="replace")
    if status:
        raise EngineError(f"the demonstration did not survive {killed}: exit {status}\n{said[-3000:]}")
    late = [service for service in services if service not in killed]
    tell(
        f"killed in mid-demo, one after another: {', '.join(killed) or 'nobody'}; it passed after {time.monotonic() - began:.0f} s"
        + (f"; too late for {late}" if late else "")
    )
    if late:
        survives_kills(project, late, tell)


def _kill_while(project: Project, child: subprocess.Popen[bytes], services: Sequence[str], begun: Callable[[], bool]) -> list[str]:
    killed: list[str] = []
    while child.poll() is None and not begun():
        time.sleep(0.2)
    for service in services:
        if child.poll() is not None:
            break
        before = project.container(service)
        project.crash(service)
        killed.append(service)
        deadline = time.monotonic() + 120
        while (now := project.container(service)).state != "running" or now.pid == before.pid:
            if time.monotonic() > deadline:
                raise EngineError(f"{service} was not started again: {now.state}")
            time.sleep(0.3)
        time.sleep(random.uniform(0.5, 3.0))  # noqa: S311 - not the same moment every time
    return killed


def keeps_its_data(project: Project, payment: str, tell: Tell) -> None:
    """After `down` and `up` the same payment has the same journey, and the doctor is content."""
    before = project.pgp("trace", payment)
    project.down()
    if project.containers():
        raise EngineError("down left containers")
    began = time.monotonic()
    project.up()
    project.wait_ready()
    if project.pgp("trace", payment) != before:
        raise EngineError("the journey is another after down and up")
    tell(f"down, up: ready again after {time.monotonic() - began:.0f} s, and payment {payment} has the same journey of {len(before.splitlines())} lines")
    doctor(project, tell)


def production(engine: Engine, port: int, tell: Tell) -> None:
    """With another env file there is no sandbox: what is missing is named, nothing is made, and with secrets given the product's image comes up."""
    file = engine.work / "production.env"
    project = Project(engine, port, name="pgp-proof-production", production=file)
    try:
        file.write_text(f"EDGE_PORT={port}\n")
        _asked_for(project.composed("config"), "BASE_URL is missing a value: public address of the edge", tell)
        file.write_text(f"EDGE_PORT={port}\nBASE_URL=https://pay.example.test\nTELEGRAM_BOT_USERNAME=example_bot\n")
        _asked_for(project.composed("run", "--rm", "-T", "secrets"), "NOWPAYMENTS_API_KEY is missing", tell)
        project.compose("run", "--rm", "-T", "secrets", "pgp", "secrets", "split", "--from", "-", "--out", "/secrets", given=_given())
        project.up("edge", "pgp-np-ipn-v1")
        names = {container.service for container in project.containers()}
        deadline = time.monotonic() + READY_S
        while unwell := [sentence for sentence in project.unwell() if sentence.split()[0] in names]:
            if time.monotonic() > deadline:
                raise EngineError(f"production: {unwell}")
            time.sleep(1)
        images = {container.described["ImageName"].rpartition("/")[2] for container in project.containers()}
        tell(f"production: {', '.join(sorted(names))} are well, of the images {', '.join(sorted(images))}")
        if any("sandbox" in image for image in images):
            raise EngineError("the sandbox's image is in production")
    finally:
        project.down(volumes=True)


def _asked_for(said: str, sentence: str, tell: Tell) -> None:
    if sentence not in said:
        raise EngineError(f"nobody asks for it: {sentence!r} in {said[-1000:]}")
    tell(f"production: {sentence!r} is said")


def _given() -> str:
    """The file of secrets that a person would write."""
    from deploy.local import secrets  # noqa: PLC0415 - the local fleet's own maker, for this one claim

    more = {"DATABASE_URL": f"postgresql+pg8000://pgp:{secrets.letters(32)}@postgres:5432/pgp", "ETHEREUM_RPC_URL": "https://rpc.example.test"}
    return "".join(f"{name}={value}\n" for name, value in {**secrets.generate(), **more}.items())


def no_secret_escapes(project: Project, tell: Tell) -> None:
    """No secret's value stands in an image's layers or history, in a committed file of the deployment, or in a log."""
    engine, values = project.engine, _secrets(project)
    needles = engine.work / "needles"
    needles.write_text("\n".join(sorted(values)) + "\n")
    needles.chmod(0o600)
    try:
        places = {"docker-compose.yml": CHECKOUT / "docker-compose.yml", ".env": CHECKOUT / ".env", "Dockerfile": CHECKOUT / "deploy" / "Dockerfile"}
        for name in ("paygateprime", "paygateprime-sandbox"):
            places[name] = engine.work / f"{name}.tar"
            places[name].unlink(missing_ok=True)
            engine.podman("save", "--quiet", "--format", "docker-archive", "--output", str(places[name]), f"localhost/{name}")
        logs = engine.work / "logs.txt"
        logs.write_text("".join(project.log(container.service) for container in project.containers()))
        # A search that finds nothing must be able to find something.
        if not _holds(engine, needles, _volume(project, "secrets-operator") + "/secrets.env"):
            raise EngineError("the search does not find the secrets where they are")
        found = [name for name, file in {**places, "logs": logs}.items() if _holds(engine, needles, str(file))]
        tell(f"{len(values)} values of secrets looked for in {', '.join(places)} and {logs.stat().st_size} bytes of logs: found in {found or 'none'}")
        if found:
            raise EngineError(f"secrets in {found}")
    finally:
        needles.unlink()
        for file in engine.work.glob("*.tar"):
            file.unlink()


def _volume(project: Project, name: str) -> str:
    return project.engine.podman("volume", "inspect", "--format", "{{.Mountpoint}}", f"{project.name}_{name}").strip()


def _secrets(project: Project) -> set[str]:
    """Every value on the volumes of secrets that is one: addresses and public halves are not."""
    from PGP_COMMON.clients.secrets import parsed  # noqa: PLC0415 - the product's own reader, for this one claim
    from PGP_COMMON.rendering.containers import HANDED_OUT  # noqa: PLC0415 - as above

    public = {*HANDED_OUT, "ETHEREUM_RPC_URL", "NOWPAYMENTS_EMAIL", "token", "nowpayments_address", "changenow_address"}
    values = set()
    for volume in project.volumes():
        if "secrets-" in volume:
            script = project.engine.run("sh", "-c", f"cat {_volume(project, volume.partition('_')[2])}/* 2>/dev/null || true")
            for name, value in parsed(script).items():
                if name == "DATABASE_URL":
                    values |= {value.split(":")[2].partition("@")[0]}
                elif name not in public:
                    # A key with its id, two keys in rotation, the lines of a PEM: each part is one.
                    values |= {part for part in re.split(r"[,:]|\\n", value) if not part.startswith("-----")}
    return {value for value in values if len(value) >= SHORTEST}


def _holds(engine: Engine, needles: object, file: str) -> bool:
    return engine.ran("grep", "--quiet", "--text", "--fixed-strings", f"--file={needles}", file).returncode == 0
