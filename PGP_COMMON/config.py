"""This is the configuration: a service's declared settings, typed; all that is missing named together; secrets re-read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, cast

from PGP_COMMON.clients.secrets import CachedSecrets, GoogleSecretManager, SecretsFile
from PGP_COMMON.errors import Misconfigured, PgpError
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Service
from PGP_COMMON.settings import CATALOGUE, PARSERS, Setting


def environment() -> Mapping[str, str]:
    """The process's environment: the only place that reads it."""
    return os.environ


def needed_urls(service: Service) -> tuple[str, ...]:
    """The address settings of this service and of every one that it sends work to; the sweep wakes all of them."""
    targets = {step.name: other for other in FLEET for step in other.steps}
    if "work.sweep" in service.sends:
        return tuple(other.url_setting for other in FLEET)
    return tuple(sorted({service.url_setting, *(targets[name].url_setting for name in service.sends)}))


def secret_of(environ: Mapping[str, str], name: str) -> str:
    """A secret as it is now, for a program that is no service: from its environment or the secrets file. Raises Misconfigured."""
    value = environ.get(name) or SecretsFile(environ.get("SECRETS_FILE", "")).read(name)
    if not value:
        raise Misconfigured(f"{name} is missing ({CATALOGUE[name].help})")
    return value


class BaseConfigManager:
    """The settings that the manifest gives a service, and no other. A subclass adds declarations, never mechanism."""

    def __init__(self, service: Service, environ: Mapping[str, str] | None = None) -> None:
        """Read and check everything at once; raises Misconfigured with a sentence for each setting at fault."""
        self.service = service
        self._environ = environment() if environ is None else environ
        self.names = tuple(dict.fromkeys((*service.settings, *needed_urls(service))))
        self._values: dict[str, Any] = {}
        self._secrets = self._secret_source()
        self._beside = self._plain_beside_secrets()
        faults = list(self._faults())
        if faults:
            raise Misconfigured(f"{service.name} cannot start: " + "; ".join(faults))

    def _faults(self) -> Iterator[str]:
        """A sentence for each setting at fault; the secrets that are not given for one reason share one."""
        unread: dict[str, list[str]] = {}
        away = ""
        for name in self.names:
            # A vendor that is in trouble is waited for once, not once a secret.
            if away and CATALOGUE[name].secret and not self._environ.get(name):
                unread[away].append(name)
                continue
            try:
                fault = self._load(CATALOGUE[name])
            except PgpError as error:
                unread.setdefault(str(error), []).append(name)
                away = "" if isinstance(error, Misconfigured) else str(error)
                continue
            if fault:
                yield fault
        yield from (f"{', '.join(names)} cannot be read ({reason})" for reason, names in unread.items())

    def _secret_source(self) -> CachedSecrets:
        given = self._environ.get("SECRETS_TTL_S", "")
        # What is malformed is told with everything else.
        ttl_s = int(given if given.isdecimal() else CATALOGUE["SECRETS_TTL_S"].default or 60)
        path = self._environ.get("SECRETS_FILE", "")
        if path:
            return CachedSecrets(SecretsFile(path), ttl_s=ttl_s)
        return CachedSecrets(GoogleSecretManager(self._environ.get("CLOUD_TASKS_PROJECT_ID", "")), ttl_s=ttl_s)

    def _plain_beside_secrets(self) -> dict[str, str]:
        """The plain settings that stand in the file of secrets, such as an address that follows from a key; none when it cannot be read."""
        path = self._environ.get("SECRETS_FILE", "")
        try:
            file = SecretsFile(path)
            return {name: text for name in self.names if path and not CATALOGUE[name].secret and (text := file.read(name))}
        except Misconfigured:
            # Whoever needs a secret of it says so.
            return {}

    def _raw(self, setting: Setting) -> str | None:
        """What is written for a setting; an environment variable wins over the secret source, in whose file a plain setting may stand as well."""
        text = self._environ.get(setting.name)
        if not text and setting.secret:
            text = self._secrets.get(setting.name)
        elif not text and setting.name in self._beside:
            text = self._beside[setting.name]
        return text or setting.default

    def _load(self, setting: Setting) -> str | None:
        """Take one setting in; gives back the sentence that says what is wrong with it, never its value."""
        text = self._raw(setting)
        if text is None:
            return f"{setting.name} is missing ({setting.help})"
        if text == "" and setting.default == "":
            self._values[setting.name] = ""
            return None
        try:
            self._values[setting.name] = PARSERS[setting.kind](text)
        except ValueError:
            return f"{setting.name} is malformed (wanted: {setting.kind.value})"
        return None

    def _get(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(f"the manifest does not give {name} to {self.service.name}")
        return self._values[name]

    def text(self, name: str) -> str:
        """A setting that is text, a URL or an address."""
        return str(self._get(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """A setting that is a list of addresses."""
        return cast("tuple[str, ...]", self._get(name))

    def integer(self, name: str) -> int:
        """A whole number, or seconds."""
        return int(self._get(name))

    def decimal(self, name: str) -> Decimal:
        """A decimal number."""
        return cast("Decimal", self._get(name))

    def flag(self, name: str) -> bool:
        """True or false."""
        return bool(self._get(name))

    def secret(self, name: str) -> str:
        """A secret as it is now: re-read after its time to live, the last good value when it cannot be read or is malformed."""
        self._get(name)
        setting = CATALOGUE[name]
        text = self._raw(setting)
        if text:
            try:
                PARSERS[setting.kind](text)
                self._values[name] = text
            except ValueError:
                return str(self._values[name])
        return str(self._values[name])

    def url_of(self, service: Service) -> str:
        """The address of another service of the fleet."""
        return self.text(service.url_setting)

    def public_url(self, service: Service, path: str) -> str:
        """Where the outside reaches a path: the edge, or the service itself on a machine without one."""
        return (self.text("BASE_URL") or self.url_of(service)).rstrip("/") + path
