"""What the learner minimises: policy losses, regularisers, and their aggregation over the tokens of a step."""
