"""moto's transactions made quick: its classes come in, and no table is copied whole any more for each write in one.

moto puts a table back when a transaction fails, and so copies it, with every row, once for each write of the
transaction: the more a cloud remembers, the longer each takes. Here the copy shares its rows with the table, and a row
is copied when it is to be changed in place.
"""

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table


def install() -> None:
    """For this process."""
    table: Any = Table
    backend: Any = DynamoDBBackend
    table.__deepcopy__ = backup
    backend.update_item = on_a_copy(backend.update_item)


def backup(table: Any, _memo: dict[int, Any]) -> Any:
    """A table with the same rows, which may be written without the other one."""
    kept = copy.copy(table)
    rows = table.items.items()
    kept.items = defaultdict(dict, {key: dict(each) if table.has_range_key else each for key, each in rows})
    return kept


def on_a_copy(update_item: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but the row that it changes is one that no backup has."""

    def updated(backend: Any, table_name: str, key: dict[str, dict[str, Any]], *more: Any, **named: Any) -> Any:
        table = backend.get_table(table_name)
        hash_value, range_value = backend.get_keys_value(table, key)
        row = table.get_item(hash_value, range_value)
        if row is not None and table.has_range_key:
            table.items[hash_value][range_value] = copy.deepcopy(row)
        elif row is not None:
            table.items[hash_value] = copy.deepcopy(row)
        return update_item(backend, table_name, key, *more, **named)

    return updated
