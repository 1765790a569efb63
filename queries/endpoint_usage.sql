-- Are the VPC endpoints in use, and by whom?
--
-- "Monitor endpoint usage via VPC Flow Logs" (Artos), and what `describe-vpc-endpoints` cannot tell: an endpoint
-- that is available and that nobody reaches has records of rejects, or none. The zones of the endpoints are those
-- of the reference maps; name others with SET VARIABLE endpoint_zones = ['...'].
SELECT
    server_zone,
    server_addr,
    client_zone,
    count(DISTINCT client_addr) AS clients,
    count(*) FILTER (WHERE action = 'ACCEPT') AS accepted,
    count(*) FILTER (WHERE action = 'REJECT') AS rejected,
    max("end") FILTER (WHERE action = 'ACCEPT') AS last_accepted
FROM flows
WHERE list_contains(coalesce(getvariable('endpoint_zones'), ['vpce', 'control-plane-endpoint']), server_zone)
GROUP BY server_zone, server_addr, client_zone
ORDER BY server_zone, server_addr, client_zone;
