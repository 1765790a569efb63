-- Which services inside were reached from outside?
--
-- Every accepted request from a zone outside (views.sql, inside_zones) to one inside, whether the map allows it or
-- not: the list to compare with the exposures that you know of. A request that only left its source
-- (`attempt`) has not arrived and is not in it.
SELECT
    server_zone,
    server_port,
    protocol,
    service,
    client_zone,
    verdict,
    rule,
    count(DISTINCT client_addr) AS clients,
    count(DISTINCT server_addr) AS servers,
    count(*) AS records,
    min(start) AS first_seen,
    max("end") AS last_seen
FROM flows
WHERE action = 'ACCEPT'
    AND orientation <> 'reply'
    AND verdict <> 'attempt'
    AND server_zone IN (SELECT zone FROM inside_zones)
    AND client_zone NOT IN (SELECT zone FROM inside_zones)
GROUP BY server_zone, server_port, protocol, service, client_zone, verdict, rule
ORDER BY server_zone, server_port, protocol, client_zone, verdict, rule;
