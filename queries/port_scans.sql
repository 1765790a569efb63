-- Who tried many ports of one server, or one port of many servers, and was refused?
--
-- Per hour of `start`. Only requests that failed count (rejected, or gone out where the destination should refuse):
-- service discovery and health checks succeed. The thresholds are those of Zeek's scan policy, 15 ports and
-- 25 servers.
WITH refused AS (
    SELECT date_trunc('hour', start) AS hour, client_zone, client_addr, server_addr, server_port, start, "end"
    FROM flows
    WHERE orientation <> 'reply' AND protocol IN (6, 17) AND verdict IN ('blocked', 'attempt', 'outage')
)
SELECT
    'ports' AS kind,
    hour,
    client_zone,
    client_addr,
    server_addr,
    NULL::INTEGER AS server_port,
    count(DISTINCT server_port) AS targets,
    count(*) AS records,
    min(start) AS first_seen,
    max("end") AS last_seen
FROM refused
GROUP BY hour, client_zone, client_addr, server_addr
HAVING targets >= coalesce(getvariable('min_ports'), 15)
UNION ALL
SELECT
    'servers',
    hour,
    client_zone,
    client_addr,
    NULL,
    server_port,
    count(DISTINCT server_addr) AS targets,
    count(*),
    min(start),
    max("end")
FROM refused
GROUP BY hour, client_zone, client_addr, server_port
HAVING targets >= coalesce(getvariable('min_servers'), 25)
ORDER BY kind, hour, targets DESC, client_addr, server_addr, server_port, client_zone;
