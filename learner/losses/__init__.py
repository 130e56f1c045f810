"""What the learner minimises: policy losses, regularisers, and how tokens add up to a step."""
