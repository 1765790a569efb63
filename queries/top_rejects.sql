-- Which 20 pairs of source address and destination port are rejected most often?
--
-- The CloudWatch Insights query of the Artos design:
--     filter action = "REJECT" | stats count() by srcAddr, dstPort | sort count desc | limit 20
SELECT srcaddr, dstport, count(*) AS count
FROM flows
WHERE action = 'REJECT'
GROUP BY srcaddr, dstport
ORDER BY count DESC, srcaddr, dstport
LIMIT 20;
