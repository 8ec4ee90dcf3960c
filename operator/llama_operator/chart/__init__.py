"""The Helm chart's values, typed once; schema, values.yaml and README are generated from them."""
