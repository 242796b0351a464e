"""The smallest transaction that stores a text, on bare PyMySQL: the lower bound of cost on MySQL.

It locks the conversation's row, inserts the entry, raises the head and commits, for one text or
for 256 texts of ten conversations at once. It runs as a separate process on the core of the
servers, as a node does.
"""

import asyncio
import json
import sys
import time
from typing import Final
from urllib.parse import urlsplit

import pymysql

from bench.load.peer import text
from bench.results.machine import SERVER_CORE, cpu_s, on_core
from bench.results.measurement import Measurement, quantile

BATCH: Final = 256


class BareMySql:
    """Transactions of `batch` texts, one after the other, on a store of ten pairs."""

    def __init__(self, url: str, batch: int, mysqld: int) -> None:
        self._url = url
        self._batch = batch
        self._mysqld = mysqld
        self._runs = 0

    async def run(self, outstanding: int, seconds: float) -> Measurement:
        self._runs += 1
        before = cpu_s(self._mysqld)
        with on_core(SERVER_CORE):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "bench.targets.bare_mysql", self._url),
                *(str(self._batch), str(seconds), str(self._runs)),
                stdout=asyncio.subprocess.PIPE,
            )
        out, _ = await process.communicate()
        result = json.loads(out)
        texts = result["texts"]
        return Measurement(
            result["seconds"],
            texts,
            result["p50_us"],
            result["p99_us"],
            result["max_us"],
            {
                "client": result["cpu_s"] / texts * 1e6,
                "mariadbd": (cpu_s(self._mysqld) - before) / texts * 1e6,
            },
            0.0,
        )


def _transactions(url: str, batch: int, seconds: float, run: int) -> dict[str, float]:
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=parts.username,
        password=parts.password or "",
        database=parts.path.lstrip("/"),
        autocommit=False,
    )
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    latencies: list[float] = []
    count = 0
    body = text(7).decode()
    cpu, begin = time.process_time(), time.perf_counter()
    while (start := time.perf_counter()) < begin + seconds:
        conversations = list(range(1, 11)) if batch > 1 else [1 + count % 10]
        ids = ", ".join(map(str, conversations))
        connection.begin()
        cursor.execute(
            f"SELECT id, head FROM conversations WHERE id IN ({ids}) ORDER BY id FOR UPDATE"
        )
        heads = dict(cursor.fetchall())
        rows = []
        for n in range(batch):
            conversation = conversations[n % len(conversations)]
            heads[conversation] += 1
            rows.append(
                f"({conversation}, {heads[conversation]}, 'text', {2 * conversation - 1},"
                f" '{body}', 1767225600000, 'bare-{run}-{count + n}')"
            )
        cursor.execute(
            "INSERT INTO entries (conversation_id, seq, kind, sender_id, text, at_ms, `key`)"
            " VALUES " + ", ".join(rows)
        )
        cases = " ".join(f"WHEN {id} THEN {head}" for id, head in heads.items())
        cursor.execute(f"UPDATE conversations SET head = CASE id {cases} END WHERE id IN ({ids})")
        connection.commit()
        latencies.append(time.perf_counter() - start)
        count += batch
    elapsed = time.perf_counter() - begin
    cpu = time.process_time() - cpu
    connection.close()
    latencies.sort()
    return {
        "texts": count,
        "seconds": elapsed,
        "p50_us": quantile(latencies, 0.5) * 1e6,
        "p99_us": quantile(latencies, 0.99) * 1e6,
        "max_us": latencies[-1] * 1e6,
        "cpu_s": cpu,
    }


if __name__ == "__main__":
    _url, _batch, _seconds, _run = sys.argv[1:]
    print(json.dumps(_transactions(_url, int(_batch), float(_seconds), int(_run))))
