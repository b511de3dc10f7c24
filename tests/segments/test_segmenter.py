from sklearn.utils.estimator_checks import parametrize_with_checks

from partnerseg.segments.segmenter import PartnerSegmenter


# The checks cluster 50 rows; so few must be allowed to have segments.
@parametrize_with_checks([PartnerSegmenter(min_partners=40)])
def test_follows_scikit_learn(estimator, check):
    check(estimator)
