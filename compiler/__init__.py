"""From a NIR graph to a placed integer program: importer, IR, passes, verifier, report, artifact."""
