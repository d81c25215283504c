"""Baselines of a delivery: what a user would pick who wants no network.

Of running text it is an n-gram model (`network.kneser_ney`). All others are scikit-learn's. For tables:
gradient-boosted trees, extremely randomised trees, logistic or ridge regression; for texts: words and
pairs weighted by naive Bayes, and TF-IDF, both with logistic regression. Each is fitted on the training
rows and scored on validation, then fitted on both and scored on test beside the winner. A process of
its own fits those of scikit-learn, and is ended when its share of the budget is used up.
"""
