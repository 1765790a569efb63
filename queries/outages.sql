-- What does the map allow that is rejected, where, and does some of it still get through?
--
-- `reason` says where it is rejected (at the source, at the destination, on the return path, `/nacl` where the
-- stateless layer explains it). `accepted` counts the expected records of the same path: 0 is a path that is
-- down, more is one that is down for some.
SELECT
    severity_name(max(severity_rank(severity))) AS severity,
    client_zone,
    server_zone,
    server_port,
    protocol,
    rule,
    reason,
    count(*) AS records,
    count(DISTINCT client_addr) AS clients,
    count(DISTINCT server_addr) AS servers,
    (sum(count(*) FILTER (WHERE verdict = 'expected'))
        OVER (PARTITION BY client_zone, server_zone, server_port, protocol))::BIGINT AS accepted,
    min(start) AS first_seen,
    max("end") AS last_seen
FROM flows
WHERE client_addr IS NOT NULL
GROUP BY client_zone, server_zone, server_port, protocol, rule, reason, verdict
QUALIFY verdict = 'outage'
ORDER BY max(severity_rank(flows.severity)) DESC, records DESC,
    client_zone, server_zone, server_port, protocol, rule, reason;
