-- What is being rejected: from which source, on which port, where, and is that what the map wants?
--
-- `blocked` is the boundary at work; `outage` is traffic that the map allows; `stray` is the tail of a connection
-- that is over.
SELECT
    client_zone,
    client_addr,
    server_zone,
    server_port,
    protocol,
    verdict,
    count(*) AS records,
    count(DISTINCT server_addr) AS servers,
    min(start) AS first_seen,
    max("end") AS last_seen
FROM flows
WHERE action = 'REJECT' AND client_addr IS NOT NULL
GROUP BY client_zone, client_addr, server_zone, server_port, protocol, verdict
ORDER BY records DESC, client_addr, server_zone, server_port, protocol, verdict, client_zone
LIMIT coalesce(getvariable('rows'), 100);
