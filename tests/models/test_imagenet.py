from triptych.models import imagenet


def test_there_are_a_thousand_in_the_order_of_their_wordnet_ids():
    ids = [label.id for label in imagenet.imagenet()]
    assert len(ids) == len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert [label.index for label in imagenet.imagenet()] == list(range(1000))


def test_no_two_names_are_alike_in_any_case():
    names = [label.name for label in imagenet.imagenet()]
    assert len({name.casefold() for name in names}) == 1000
    assert all(name == name.strip() and name for name in names)


def test_ambiguous_class_names_are_distinct():
    names = {label.id: label.name for label in imagenet.imagenet()}
    assert names["n02012849"] == "crane (bird)"
    assert names["n03126707"] == "crane (machine)"
    assert (names["n03710637"], names["n03710721"]) == ("maillot", "tank suit")
    assert (names["n02113186"], names["n02963159"]) == ("Cardigan Welsh corgi", "cardigan")


def test_well_known_indices():
    # As in Keras's imagenet_class_index.json.
    names = {0: "tench", 1: "goldfish", 207: "golden retriever", 386: "African elephant"}
    assert {index: imagenet.imagenet()[index].name for index in names} == names


def test_the_table_is_read_once():
    assert imagenet.imagenet() is imagenet.imagenet()
