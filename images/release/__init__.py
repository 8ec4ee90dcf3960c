"""`make release`: images for two architectures and the chart, signed, attested, pushed by digest.

All is made and judged on this machine before anything is pushed, what is pushed has no tag until it is
signed, and tags move last. So a release that fails in the middle is one that nobody can pull by name.
"""
