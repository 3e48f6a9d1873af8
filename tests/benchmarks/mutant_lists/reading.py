"""Mutants of the reader of files: see tests/benchmarks/mutants.py."""

TABLES = "tests/test_tables.py"
IMAGES = "tests/test_images.py"

MUTANTS = [
    # columns
    (
        "jaxlle/datasets/selection.py",
        "return bool((np.diff(column) > 0).all()",
        "return bool((np.diff(column) == 1).all()",
        TABLES + " -k whole_numbers_in_order",
    ),
    (
        "jaxlle/datasets/selection.py",
        "counted = counted if len(counted) < len(others) else []",
        "counted = []",
        TABLES + " -k whole_numbers_in_order",
    ),
    (
        "jaxlle/datasets/selection.py",
        "return matches and bool((known == np.round(known)).all())",
        "return matches",
        TABLES + " -k name_of_an_identifier",
    ),
    (
        "jaxlle/datasets/selection.py",
        "if 2 * sum(map(is_number, known)) >= len(known):",
        "if False:",
        TABLES + " -k remedy",
    ),
    # missing values and units
    (
        "jaxlle/datasets/selection.py",
        "return points[~bad], np.flatnonzero(~bad)",
        "return points[~bad], np.flatnonzero(bad)",
        TABLES + " -k text_is_left_out",
    ),
    (
        "jaxlle/datasets/selection.py",
        "means = np.nanmean(points, axis=0,",
        "means = np.nanmedian(points, axis=0) + 0 * np.nanmean(points, axis=0,",
        TABLES + " -k filled_with_the_mean",
    ),
    (
        "jaxlle/datasets/selection.py",
        "factor = np.where(spread > tiny, spread, 1.0)",
        "factor = np.maximum(spread, 1.0)",
        TABLES + " -k as_by_scikit_learn",
    ),
    # text
    ("jaxlle/datasets/tables.py", '"strict": True}', '"strict": False}', TABLES + " -k remedy"),
    ("jaxlle/datasets/tables.py", 'comma = separator != "," and', "comma = False and", TABLES + " -k decimal_comma"),
    (
        "jaxlle/datasets/tables.py",
        "    if any(first[j] in below[j] for j in names):\n        return False\n",
        "    if any(first[j] in below[j] for j in names):\n        return True\n",
        TABLES + " -k separator_and_the_header",
    ),
    # images
    (
        "jaxlle/datasets/images.py",
        "return ((width, height) if swapped else (height, width)), image.mode",
        "return (height, width), image.mode",
        IMAGES + " -k orientation",
    ),
    (
        "jaxlle/datasets/images.py",
        "np.asarray(image, np.float32) / 257)",
        "np.asarray(image, np.float32) / 256)",
        IMAGES + " -k modes",
    ),
    (
        "jaxlle/datasets/images.py",
        'and not path.name.startswith(".")',
        "and True",
        IMAGES + " -k subfolders_of_images",
    ),
]
