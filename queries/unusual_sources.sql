-- Which clients reached for a service for the first time at the end of the log, though others used it before?
--
-- New means: no record of this client at this service before the last `recent` of the log. The service itself is
-- older, so that a new deployment does not show. All verdicts count: a newcomer who is blocked is worth knowing too.
WITH client AS (
    SELECT
        client_zone,
        client_addr,
        server_zone,
        server_port,
        protocol,
        min(service) AS service,
        min(start) AS first_seen,
        count(*) AS records,
        list_sort(list_distinct(list(verdict))) AS verdicts
    FROM flows
    WHERE client_addr IS NOT NULL
        AND service IS NOT NULL
        AND list_contains(coalesce(getvariable('server_zones'), [server_zone]), server_zone)
    GROUP BY client_zone, client_addr, server_zone, server_port, protocol
),
since AS (
    SELECT max(start) - coalesce(getvariable('recent'), INTERVAL 1 HOUR) AS since FROM flows
)
SELECT
    first_seen, client_zone, client_addr, server_zone, server_port, protocol, service, verdicts, records
FROM client, since
QUALIFY first_seen >= since
    AND min(first_seen) OVER (PARTITION BY server_zone, server_port, protocol) < since
ORDER BY first_seen, client_addr, server_zone, server_port, protocol, client_zone;
