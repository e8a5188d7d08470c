"""This is the process: one service's settings, database, keys, queue and engine, put together once."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from PGP_COMMON import log
from PGP_COMMON.cloudtasks import AfterAnswer, BaseCloudTasksClient
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.directory import service_of
from PGP_COMMON.engine import Engine
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.manifest import Edge, Service
from PGP_COMMON.outbox import Outbox, message
from PGP_COMMON.tokens import BaseTokenManager


class Runtime:
    """What a service's doors and steps work with."""

    def __init__(self, service: Service, environ: Mapping[str, str] | None = None) -> None:
        """Read the settings and build everything that needs no network; raises Misconfigured."""
        self.service = service
        self.config = BaseConfigManager(service, environ)
        log.configure(service.name, log_format=self.config.text("LOG_FORMAT"))
        self.keys = {edge: self._keys(edge) for edge in Edge if edge.value in self.config.names}
        self.tasks = BaseCloudTasksClient(
            project=self.config.text("CLOUD_TASKS_PROJECT_ID"),
            location=self.config.text("CLOUD_TASKS_LOCATION"),
            endpoint=self.config.text("CLOUD_TASKS_ENDPOINT"),
            service_account=self.config.text("CLOUD_TASKS_SERVICE_ACCOUNT"),
            url_of=self._address,
        )
        self.publish = AfterAnswer(self.tasks) if service.answers_first else self.tasks.wake
        self.db = connect(self.config, outbox=self._outbox, publish=self.publish)
        self.module: ModuleType = importlib.import_module(service.app)
        self.clients: Any = self.module.make_clients(self) if hasattr(self.module, "make_clients") else None
        flows = getattr(self.module, "STEPS", {})
        if set(flows) != {step.name for step in service.steps}:
            raise Misconfigured(f"{service.app}.STEPS and the manifest name different steps")
        self.engine = Engine(db=self.db, config=self.config, clients=self.clients, flows=flows, publish=self.publish)

    def _keys(self, edge: Edge) -> BaseTokenManager:
        return BaseTokenManager(lambda: self.config.secret(edge.value))

    def _address(self, setting: str) -> str:
        # A service always knows itself: its own delayed work comes back to it.
        return self.config.text(setting)

    def _outbox(self) -> Outbox:
        """The sends of one transaction that has not begun: its keys are read here, so that Secret Manager is never asked under locks."""
        keys = {edge: manager.held() for edge, manager in self.keys.items()}

        def sign(step_name: str, subject: str) -> str:
            service, step = service_of(step_name)
            return keys[step.edge].sign(service.name, f"{step_name}/{subject}", message(step_name, subject))

        return Outbox(sender=self.service.name, may_send=frozenset(self.service.sends), sign=sign, grace_s=self.config.integer("WAKE_GRACE_S"))


def connect(config: BaseConfigManager, *, outbox: Any = None, publish: Any = None) -> BaseDatabaseManager:
    """The database of a service: a URL, or Cloud SQL through its connector, with the same pool and limits."""
    size = config.service.size.pool
    url = config.secret("DATABASE_URL")
    creator = None if url else _cloud_sql(config)
    return BaseDatabaseManager(make_engine(url, application=config.service.name, pool=size, creator=creator), outbox=outbox, publish=publish)


def _cloud_sql(config: BaseConfigManager) -> Any:
    """A function that opens one connection through the Cloud SQL connector, over the private address."""
    if not config.text("CLOUD_SQL_CONNECTION_NAME"):
        raise Misconfigured("DATABASE_URL or CLOUD_SQL_CONNECTION_NAME must be set")
    from google.cloud.sql.connector import Connector, IPTypes  # noqa: PLC0415 - only in the cloud

    from PGP_COMMON.database import LIMITS  # noqa: PLC0415 - beside its only use

    connector = Connector(ip_type=IPTypes.PRIVATE, refresh_strategy="lazy")

    def open_connection() -> Any:
        return connector.connect(
            config.text("CLOUD_SQL_CONNECTION_NAME"),
            "pg8000",
            user=config.secret("DATABASE_USER_SECRET"),
            password=config.secret("DATABASE_PASSWORD_SECRET"),
            db=config.secret("DATABASE_NAME_SECRET"),
            application_name=config.service.name,
            startup_params=LIMITS,
        )

    return open_connection
