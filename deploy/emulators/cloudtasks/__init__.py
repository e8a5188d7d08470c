"""This is Cloud Tasks for one server: the v2 gRPC API of the real service, its promises kept in PostgreSQL.

`names` and `refusals` say what a request may look like, `retries` and `pace` when a task is tried (pure), `queues` and `tasks` what they are;
`database`, `store` and `writer` keep them, `delivery` sends them, `dispatcher` decides what is sent when, `service` and `wire` are the gRPC side.
"""

from __future__ import annotations
