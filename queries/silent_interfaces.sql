-- Which interfaces have stopped logging, carry no traffic, or have gaps?
--
-- `stopped`: nothing at all, not even a NODATA heartbeat, for `silence` before the end of the log; `gaps`: AWS
-- skipped records, one line may stand for many; `idle`: heartbeats only. An interface that never logged cannot be
-- in it: that is for `flowbound coverage`, which knows the map.
WITH interface AS (
    SELECT
        interface_id,
        min(start) AS first_seen,
        max("end") AS last_seen,
        count(*) FILTER (WHERE coalesce(log_status, 'OK') = 'OK') AS ok,
        count(*) FILTER (WHERE log_status = 'NODATA') AS nodata,
        count(*) FILTER (WHERE log_status = 'SKIPDATA') AS skipdata
    FROM flows
    WHERE interface_id IS NOT NULL
    GROUP BY interface_id
)
SELECT
    CASE
        WHEN last_seen < max(last_seen) OVER () - coalesce(getvariable('silence'), INTERVAL 30 MINUTES) THEN 'stopped'
        WHEN skipdata > 0 THEN 'gaps'
        ELSE 'idle'
    END AS state,
    *
FROM interface
QUALIFY state <> 'idle' OR ok = 0
ORDER BY state DESC, last_seen, interface_id;
