-- Which attempts got through?
--
-- An attempt has left its source legally, and the destination should refuse it. What the other records of the same
-- conversation say: `answered` (the server's interface let it in, or the server replied), `refused` (the server itself
-- answered with a reset: the packet arrived, nothing listened), `contained` (rejected at the destination), `unseen`
-- (no other record: the destination does not log, or a v2 log does not tell).
WITH conversation AS (
    SELECT
        client_zone, client_addr, client_port, server_zone, server_addr, server_port, protocol,
        CASE
            WHEN bool_or(verdict = 'breach' AND NOT ends_with(reason, '/refused')) THEN 'answered'
            WHEN bool_or(verdict = 'breach') THEN 'refused'
            WHEN bool_or(verdict = 'blocked') THEN 'contained'
            ELSE 'unseen'
        END AS outcome,
        min(start) AS first_seen,
        max("end") AS last_seen
    FROM traffic
    WHERE client_addr IS NOT NULL
    GROUP BY ALL
    HAVING bool_or(verdict = 'attempt')
)
SELECT
    outcome,
    client_zone,
    client_addr,
    server_zone,
    server_addr,
    server_port,
    protocol,
    count(*) AS conversations,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen
FROM conversation
GROUP BY outcome, client_zone, client_addr, server_zone, server_addr, server_port, protocol
ORDER BY outcome, conversations DESC, client_addr, server_addr, server_port, protocol, client_zone, server_zone;
