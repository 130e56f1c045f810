"""The objective of the learner: policy losses, regularisers, and their aggregation over the tokens of a step."""
