-- Which zone talks to which zone, how much, and how is it judged?
--
-- Client zone by server zone, both directions of a conversation together; packets and bytes counted once
-- (views.sql), accepted or not. The columns of verdicts count records.
WITH per_interface AS (
    SELECT
        client_zone, server_zone, client_addr, client_port, server_addr, server_port, protocol, from_client,
        interface_id,
        sum(packets) AS packets,
        sum(bytes) AS bytes,
        count(*) FILTER (WHERE verdict = 'expected') AS expected,
        count(*) FILTER (WHERE verdict = 'breach') AS breach,
        count(*) FILTER (WHERE verdict = 'attempt') AS attempt,
        count(*) FILTER (WHERE verdict = 'blocked') AS blocked,
        count(*) FILTER (WHERE verdict = 'outage') AS outage,
        count(*) FILTER (WHERE verdict = 'stray') AS stray
    FROM traffic
    WHERE client_addr IS NOT NULL
    GROUP BY ALL
),
once AS (
    SELECT
        client_zone, server_zone, client_addr, client_port, server_addr, server_port, protocol, from_client,
        max(packets) AS packets,
        max(bytes) AS bytes,
        sum(expected) AS expected,
        sum(breach) AS breach,
        sum(attempt) AS attempt,
        sum(blocked) AS blocked,
        sum(outage) AS outage,
        sum(stray) AS stray
    FROM per_interface
    GROUP BY ALL
)
SELECT
    client_zone,
    server_zone,
    count(DISTINCT (client_addr, client_port, server_addr, server_port, protocol)) AS conversations,
    coalesce(sum(packets), 0)::BIGINT AS packets,
    coalesce(sum(bytes), 0)::BIGINT AS bytes,
    sum(expected)::BIGINT AS expected,
    sum(breach)::BIGINT AS breach,
    sum(attempt)::BIGINT AS attempt,
    sum(blocked)::BIGINT AS blocked,
    sum(outage)::BIGINT AS outage,
    sum(stray)::BIGINT AS stray
FROM once
GROUP BY client_zone, server_zone
ORDER BY client_zone, server_zone;
