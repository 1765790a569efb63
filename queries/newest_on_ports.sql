-- Which records towards PostgreSQL (5432) and StarRocks (8040) are the newest, and were they let through?
--
-- The CloudWatch Insights query of the EZ-CDC design:
--     fields @timestamp, srcAddr, dstAddr, dstPort, action
--     | filter dstPort = 5432 or dstPort = 8040 | sort @timestamp desc | limit 100
-- Replies are not in it: their port 5432 is the source's.
SELECT start, srcaddr, dstaddr, dstport, action
FROM flows
WHERE list_contains(coalesce(getvariable('ports'), [5432, 8040]), dstport)
ORDER BY start DESC NULLS LAST, source, line
LIMIT 100;
