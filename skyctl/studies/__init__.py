"""Papers done again, agents and networks judged beside baselines. The product needs none."""
