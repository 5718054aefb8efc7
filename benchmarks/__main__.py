"""``python -m benchmarks`` (``make bench``): every figure that the README and the notes name."""

from benchmarks import end_to_end, router_rules
from benchmarks.figures import show

figures, method = end_to_end.measure()
show("A mesh on one machine: etcd, orchestrator, three nodes", figures, method)
router_rules.main([])
