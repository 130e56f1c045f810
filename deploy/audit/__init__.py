"""`pope audit`: whether a run kept its promises, by what its roles, its Redis and its checkpoints say of each other."""
