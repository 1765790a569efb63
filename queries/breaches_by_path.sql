-- Which paths were used that the map forbids?
--
-- One row per path and reason, the worst first. The severity is the worst of the path's records; packets and bytes
-- are counted once (views.sql), in both directions.
WITH per_interface AS (
    SELECT
        client_zone, server_zone, server_port, protocol, reason, client_addr, client_port, server_addr, from_client,
        interface_id,
        max(severity_rank(severity)) AS severity, count(*) AS records, min(start) AS first_seen,
        max("end") AS last_seen, sum(packets) AS packets, sum(bytes) AS bytes
    FROM traffic
    WHERE verdict = 'breach'
    GROUP BY ALL
),
once AS (
    SELECT
        client_zone, server_zone, server_port, protocol, reason, client_addr, client_port, server_addr, from_client,
        max(severity) AS severity, sum(records) AS records, min(first_seen) AS first_seen,
        max(last_seen) AS last_seen, max(packets) AS packets, max(bytes) AS bytes
    FROM per_interface
    GROUP BY ALL
)
SELECT
    severity_name(max(once.severity)) AS severity,
    client_zone,
    server_zone,
    server_port,
    protocol,
    reason,
    sum(records)::BIGINT AS records,
    count(DISTINCT (client_addr, client_port, server_addr)) AS conversations,
    count(DISTINCT client_addr) AS clients,
    count(DISTINCT server_addr) AS servers,
    coalesce(sum(packets), 0)::BIGINT AS packets,
    coalesce(sum(bytes), 0)::BIGINT AS bytes,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen
FROM once
GROUP BY client_zone, server_zone, server_port, protocol, reason
ORDER BY max(once.severity) DESC, records DESC, client_zone, server_zone, server_port, protocol, reason;
