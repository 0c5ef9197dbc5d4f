"""Real public data sets through the same jobs, by configuration alone: every row and every amount is accounted for.

What is expected is worked out by DuckDB from the raw files, or is a figure that the set's own description gives.
"""

from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.ingest.real_sets import INGEST, WHOLE, RealSet, loaded_set

pytestmark = pytest.mark.sets

Factory = pytest.TempPathFactory


def accounted(real: RealSet, table: str, expected: tuple[str, str, str]) -> tuple[object, object]:
    """What the ledger says of a table beside what DuckDB counts: SQL for rows in, valid and rejected; the rest is repeated."""
    rows_in, valid, rejected = (real.one(told if "FROM" in told else f"SELECT {told}") for told in expected)
    return real.outputs()[f"silver.{table}"], (valid, rejected, rows_in - valid - rejected)


OLIST = {
    "orders": "olist_orders_dataset.csv.gz",
    "items": "olist_order_items_dataset.csv.gz",
    "payments": "olist_order_payments_dataset.csv.gz",
    "reviews": "olist_order_reviews_dataset.csv.gz",
    "customers": "olist_customers_dataset.csv.gz",
    "products": "olist_products_dataset.csv.gz",
    "categories": "product_category_name_translation.csv.gz",
    "sellers": "olist_sellers_dataset.csv.gz",
    "points": "olist_geolocation_dataset.csv.gz",
}
SOLD = "FROM items JOIN orders USING (order_id) WHERE order_status NOT IN ('canceled', 'unavailable')"
NOT_SOLD = "FROM items JOIN orders USING (order_id) WHERE order_status IN ('canceled', 'unavailable')"
IN_BRAZIL = "CAST(geolocation_lat AS DOUBLE) BETWEEN -34 AND 6 AND CAST(geolocation_lng AS DOUBLE) BETWEEN -74 AND -32"
MOVES = """
    SELECT count(*) FROM (
        SELECT customer_city IS DISTINCT FROM lag(customer_city) OVER person OR row_number() OVER person = 1 AS is_news
        FROM customers JOIN orders USING (customer_id)
        WINDOW person AS (PARTITION BY customer_unique_id ORDER BY order_purchase_timestamp)
    ) WHERE is_news"""

# A customer whose order is not there (in a part of the files) has no time of arrival.
NO_ORDER = "SELECT count(*) FROM customers ANTI JOIN orders USING (customer_id)"


@pytest.fixture(scope="module")
def olist(spark: SparkSession, test_data: Path, tmp_path_factory: Factory) -> RealSet:
    return loaded_set(tmp_path_factory.mktemp("olist"), test_data, "olist", ["load_files", *INGEST], OLIST)


@pytest.mark.parametrize(
    ("table", "rows_in", "valid", "rejected"),
    [
        (
            "order_lines",
            "SELECT count(*) + count_if(CAST(freight_value AS DECIMAL(18, 4)) <> 0) FROM items",
            f"SELECT count(*) + count_if(CAST(freight_value AS DECIMAL(18, 4)) <> 0) {SOLD}",
            # An item that was not sold is refused once, with its freight.
            f"SELECT count(*) {NOT_SOLD}",
        ),
        ("payments", "SELECT count(*) FROM payments", "SELECT count(*) FROM payments", "0"),
        ("reviews", "99224", "99224 - 17", "17"),
        ("accounts", "SELECT count(*) FROM customers", MOVES, NO_ORDER),
        ("products", "32951", "32951", "0"),
        ("sellers", "3095", "3095", "0"),
        ("stores", "SELECT count(*) FROM orders", "1", "0"),
        (
            "geolocations",
            "SELECT count(*) FROM points",
            f"SELECT count(*) FROM (SELECT DISTINCT * FROM points WHERE {IN_BRAZIL})",
            f"SELECT count(*) FROM (SELECT DISTINCT * FROM points WHERE NOT ({IN_BRAZIL}))",
        ),
    ],
)
def test_olist_accounts_for_every_row(olist: RealSet, table: str, rows_in: str, valid: str, rejected: str) -> None:
    told, expected = accounted(olist, table, (rows_in, valid, rejected))
    assert told == expected


def test_olist_money_adds_up_to_the_centavo(olist: RealSet) -> None:
    price, freight = olist.one("""
        SELECT sum(line_amount) FILTER (WHERE line_kind = 'product'), sum(line_amount) FILTER (WHERE line_kind = 'service')
        FROM silver_order_lines""")
    amount = "sum(CAST(record ->> '$.{}' AS DECIMAL(18, 4)))"
    refused = olist.one(
        f"SELECT {amount.format('price')}, {amount.format('freight_value')} FROM silver_order_lines_rejected"
    )
    sums = (price + refused[0], freight + refused[1], olist.one("SELECT sum(payment_amount) FROM silver_payments"))
    raw = "(SELECT sum(CAST({} AS DECIMAL(18, 2))) FROM {})"
    columns = (
        raw.format(*told) for told in (("price", "items"), ("freight_value", "items"), ("payment_value", "payments"))
    )
    assert sums == olist.one(f"SELECT {', '.join(columns)}")
    if WHOLE:
        assert sums == (Decimal("13591643.70"), Decimal("2251909.54"), Decimal("16008872.12"))


def test_olist_reviews_keep_their_line_breaks(olist: RealSet) -> None:
    """Each text that is not blank is the raw file's to the letter, its line breaks as line feeds; 3,852 have several lines."""
    joined = "FROM silver_reviews s JOIN reviews r ON s.review_id = 'reviews:' || r.review_id || ':' || r.order_id"
    different = " OR ".join(
        f"s.{told} IS DISTINCT FROM CASE WHEN trim(r.{raw}) <> '' THEN replace(r.{raw}, chr(13) || chr(10), chr(10)) END"
        for told, raw in (("review_text", "review_comment_message"), ("review_title", "review_comment_title"))
    )
    rows, wrong, with_breaks = olist.one(
        f"SELECT count(*), count_if({different}), count_if(contains(s.review_text, chr(10))) {joined}"
    )
    assert (rows, wrong) == (99_224 - 17, 0)
    assert with_breaks == 3_852


def test_olist_lines_know_the_person_and_the_time_of_their_order(olist: RealSet) -> None:
    """Two hours are left out: when summer time ended, they struck twice, and the engines choose differently."""
    twice = "'2017-02-18 23', '2018-02-17 23'"
    wrong = olist.one(f"""
        SELECT count_if(s.account_id IS DISTINCT FROM 'customers:' || c.customer_unique_id
            OR s.ordered_at <> timezone('America/Sao_Paulo', CAST(o.order_purchase_timestamp AS TIMESTAMP))
            OR s.arrived_at IS DISTINCT FROM s.ordered_at)
        FROM silver_order_lines s
        JOIN orders o ON s.order_id = 'olist:' || o.order_id JOIN customers c USING (customer_id)
        WHERE left(o.order_purchase_timestamp, 13) NOT IN ({twice})""")
    assert wrong == 0
    people = "SELECT count(DISTINCT customer_unique_id) FROM customers SEMI JOIN orders USING (customer_id)"
    assert olist.one("SELECT count(DISTINCT account_id) FROM silver_accounts") == olist.one(people)


def test_olist_shows_no_postcode_of_a_customer(olist: RealSet) -> None:
    columns = [row[0] for row in olist.query("DESCRIBE bronze_customers")]
    assert "customer_zip_code_prefix_token" in columns
    told = [column for column in columns if column != "_arrived_at"]
    seen = " OR ".join(f"regexp_full_match(CAST({column} AS VARCHAR), '[0-9]{{5}}')" for column in told)
    assert olist.one(f"SELECT count(*) FROM bronze_customers WHERE {seen}") == 0
    people = "SELECT count(DISTINCT customer_zip_code_prefix) FROM customers"
    assert olist.one("SELECT count(*) FROM vault_personal_values") == olist.one(people), "the values lie in the vault"


def test_olist_categories_are_translated(olist: RealSet) -> None:
    wrong = olist.one("""
        SELECT count_if(s.category IS DISTINCT FROM coalesce(c.product_category_name_english, p.product_category_name))
        FROM silver_products s JOIN products p USING (product_id) LEFT JOIN categories c USING (product_category_name)""")
    assert wrong == 0


@pytest.fixture(scope="module")
def funnel(spark: SparkSession, test_data: Path, tmp_path_factory: Factory) -> RealSet:
    views = {"leads": "olist_marketing_qualified_leads_dataset.csv.gz", "deals": "olist_closed_deals_cleaned.csv.gz"}
    jobs = ["load_files", "clean_marketing"]
    return loaded_set(tmp_path_factory.mktemp("funnel"), test_data, "olist-marketing-funnel", jobs, views)


def test_funnel_leads_are_won_as_later_revisions(funnel: RealSet) -> None:
    told, expected = accounted(funnel, "leads", ("8842", "8842", "0"))
    assert told == expected
    current = "FROM silver_leads WHERE superseded_at IS NULL"
    assert funnel.one(f"SELECT count(*), count_if(is_won), count_if(is_won AND revision = 2) {current}") == (
        8000,
        842,
        842,
    )
    lost = "SELECT lead_id FROM silver_leads GROUP BY 1 HAVING count(DISTINCT coalesce(origin, '')) > 1"
    assert funnel.query(lost) == [], "a deal keeps the origin of its lead"
    raw = "SELECT sum(CAST(declared_monthly_revenue AS DECIMAL(18, 4))) FROM deals"
    assert funnel.one("SELECT sum(declared_monthly_revenue_amount) FROM silver_leads") == funnel.one(raw)


@pytest.fixture(scope="module")
def yoochoose(spark: SparkSession, test_data: Path, tmp_path_factory: Factory) -> RealSet:
    views = {"clicks": "yoochoose-clicks-100k_*.txt.gz?delim = '\t'"}
    return loaded_set(tmp_path_factory.mktemp("clicks"), test_data, "yoochoose-clicks-100k", ["--all"], views)


def test_a_shop_that_has_clicks_only_runs_all_jobs(yoochoose: RealSet) -> None:
    """A full run ends well: it does what clicks allow, and the jobs that need orders have nothing to do."""
    told, expected = accounted(
        yoochoose, "events", ("83846", "SELECT count(*) FROM (SELECT DISTINCT * FROM clicks)", "0")
    )
    assert told == expected
    assert {path.name for path in (yoochoose.lake / "silver").iterdir()} == {"events", "event_flags", "repairs"}
    first = "SELECT CAST(min(event_at) AS VARCHAR) FROM silver_events WHERE device_token = 'session:1'"
    assert yoochoose.one(first).startswith("2014-04-07 10:51:09")


JOURNEY = {
    "lines": "transactions_sample.csv.gz",
    "sent": "campaigns.csv.gz",
    "coupons": "coupons.csv.gz",
    "redemptions": "coupon_redemptions.csv.gz",
    "placements": "promotions_sample.csv.gz",
    "products": "products.csv.gz",
}


@pytest.fixture(scope="module")
def journey(spark: SparkSession, test_data: Path, tmp_path_factory: Factory) -> RealSet:
    name = "complete-journey-sample"
    return loaded_set(tmp_path_factory.mktemp("journey"), test_data, name, ["load_files", *INGEST], JOURNEY)


@pytest.mark.parametrize(
    ("table", "rows_in", "valid", "rejected"),
    [
        (
            "order_lines",
            "SELECT count(*) FROM lines",
            "SELECT count_if(CAST(quantity AS DOUBLE) <> 0) FROM lines",
            "SELECT count_if(CAST(quantity AS DOUBLE) = 0) FROM lines",
        ),
        (
            "accounts",
            "SELECT count(*) + 6589 FROM lines",
            "SELECT count(*) FROM (SELECT household_id FROM lines UNION SELECT household_id FROM sent)",
            "0",
        ),
        ("stores", "SELECT count(*) FROM lines", "SELECT count(DISTINCT store_id) FROM lines", "0"),
        ("products", "SELECT count(*) FROM products", "SELECT count(*) FROM products", "0"),
        ("demographics", "801", "801", "0"),
        ("campaigns", "27", "27", "0"),
        ("contacts", "6589", "6589", "0"),
        ("coupons", "2102", "2102", "0"),
        (
            "coupon_products",
            "SELECT count(*) FROM coupons",
            "SELECT count(*) FROM (SELECT DISTINCT * FROM coupons)",
            "0",
        ),
        ("promotions", "SELECT count(*) FROM placements", "SELECT count(*) FROM placements", "0"),
    ],
)
def test_journey_accounts_for_every_row(journey: RealSet, table: str, rows_in: str, valid: str, rejected: str) -> None:
    told, expected = accounted(journey, table, (rows_in, valid, rejected))
    assert told == expected


def test_journey_money_is_what_the_till_took(journey: RealSet) -> None:
    """Amounts are the source's own, though prices of pieces have four digits only."""
    raw = "SELECT sum(CAST(sales_value AS DECIMAL(18, 4))) FROM lines WHERE CAST(quantity AS DOUBLE) <> 0"
    assert journey.one("SELECT sum(line_amount) FROM silver_order_lines") == journey.one(raw)
    most = "SELECT CAST(max(CAST(quantity AS DOUBLE)) AS INTEGER) FROM lines"
    assert journey.one("SELECT max(quantity) FROM silver_order_lines") == journey.one(most)


def test_journey_contacts_arrive_with_their_campaign(journey: RealSet) -> None:
    wrong = journey.one("""
        SELECT count_if(c.arrived_at <> d.arrived_at OR c.contacted_at <> d.arrived_at)
        FROM silver_contacts c JOIN silver_campaigns d USING (campaign_id)""")
    assert wrong == 0


def test_journey_weeks_are_those_of_its_lines(journey: RealSet) -> None:
    """The week that a placement names begins before and ends after every line of that week."""
    outside = journey.one("""
        SELECT count(*) FROM (SELECT DISTINCT week, starts_on, ends_on FROM silver_promotions s
            JOIN placements p ON s.promotion_id = 'promotions:' || p.store_id || ':' || p.product_id || ':' || p.week) w
        JOIN lines l USING (week) JOIN silver_order_lines o
            ON o.order_line_id = 'transactions:' || l.basket_id || ':' || l.product_id
        WHERE o.ordered_date NOT BETWEEN starts_on AND ends_on""")
    assert outside == 0


@pytest.fixture(scope="module")
def m5(spark: SparkSession, test_data: Path, tmp_path_factory: Factory) -> RealSet:
    views = {"sales": "monthly_sales.parquet", "prices": "sell_prices.parquet", "calendar": "calendar.parquet"}
    return loaded_set(tmp_path_factory.mktemp("m5"), test_data, "m5-monthly", ["load_files", *INGEST], views)


@pytest.mark.parametrize(
    ("table", "rows_in"),
    [
        ("sales_history", "SELECT count(*) FROM sales"),
        ("prices", "SELECT count(*) FROM prices"),
        ("products", "SELECT count(*) FROM sales WHERE store_id = 'CA_1' AND date = DATE '2011-01-01'"),
        ("stores", "10"),
        ("holidays", "SELECT count(event_name_1) + count(event_name_2) FROM calendar"),
        ("trends", "3 * 1969"),
    ],
)
def test_m5_accounts_for_every_row(m5: RealSet, table: str, rows_in: str) -> None:
    told, expected = accounted(m5, table, (rows_in, rows_in, "0"))
    assert told == expected


def test_m5_units_and_prices_add_up(m5: RealSet) -> None:
    assert m5.one("SELECT sum(sold_quantity) FROM silver_sales_history") == m5.one("SELECT sum(sales) FROM sales")
    raw = "SELECT sum(CAST(sell_price AS DECIMAL(18, 4))) FROM prices"
    assert m5.one("SELECT sum(unit_price_amount) FROM silver_prices") == m5.one(raw)
    first_days = "SELECT DISTINCT dayname(valid_from_date), valid_to_date - valid_from_date FROM silver_prices"
    assert m5.query(first_days) == [("Saturday", 6)]
    whole = "SELECT min(period_start_date), max(period_end_date) FROM silver_sales_history WHERE is_complete"
    assert [day.isoformat() for day in m5.one(whole)] == ["2011-02-01", "2016-03-31"]


@pytest.fixture(scope="module")
def dominicks(spark: SparkSession, test_data: Path, tmp_path_factory: Factory) -> RealSet:
    views = {"weeks": "yx.csv.gz", "areas": "storedemo.csv.gz"}
    name = "dominicks-orange-juice"
    return loaded_set(tmp_path_factory.mktemp("juice"), test_data, name, ["load_files", *INGEST], views)


@pytest.mark.parametrize(
    ("table", "rows_in"),
    [
        ("sales_history", "SELECT count(*) FROM weeks"),
        ("prices", "SELECT count(*) FROM weeks"),
        ("promotions", "SELECT count_if(deal = '1') + count_if(CAST(feat AS DOUBLE) > 0) FROM weeks"),
        ("store_areas", "83"),
        ("stores", "83"),
        ("products", "11"),
    ],
)
def test_dominicks_accounts_for_every_row(dominicks: RealSet, table: str, rows_in: str) -> None:
    told, expected = accounted(dominicks, table, (rows_in, rows_in, "0"))
    assert told == expected


def test_dominicks_counts_pieces_of_a_pack(dominicks: RealSet) -> None:
    """What was moved is whole packs of the brand's ounces, and money is ounces times the price of one."""
    dominicks.database.execute("""
        CREATE OR REPLACE VIEW packs AS SELECT *, exp(CAST(logmove AS DOUBLE)) AS ounces,
            [64, 96, 64, 64, 64, 96, 64, 64, 64, 64, 128][CAST(brand AS INTEGER)] AS pack,
            CAST([price1, price2, price3, price4, price5, price6, price7, price8, price9, price10, price11]
                [CAST(brand AS INTEGER)] AS DECIMAL(12, 10)) AS price
        FROM weeks""")
    assert dominicks.one("SELECT max(abs(ounces / pack - round(ounces / pack))) FROM packs") < 1e-4
    pieces, amount = dominicks.one("SELECT sum(sold_quantity), sum(sales_amount) FROM silver_sales_history")
    assert pieces == dominicks.one("SELECT CAST(sum(round(ounces / pack)) AS BIGINT) FROM packs")
    raw = "SELECT sum(CAST(CAST(round(ounces) AS INTEGER) * price AS DECIMAL(18, 4))) FROM packs"
    assert amount == dominicks.one(raw)


@pytest.mark.skipif(not WHOLE, reason="make test-sets takes the sets whole")
def test_whole_sets_have_the_rows_that_their_descriptions_give(
    olist: RealSet, journey: RealSet, m5: RealSet, dominicks: RealSet
) -> None:
    rows = "SELECT count(*) FROM {}"
    told = {"orders": 99_441, "items": 112_650, "payments": 103_886, "customers": 99_441, "points": 1_000_163}
    assert {view: olist.one(rows.format(view)) for view in told} == told
    told = {"lines": 75_000, "products": 92_331, "coupons": 116_204, "placements": 360_535}
    assert {view: journey.one(rows.format(view)) for view in told} == told
    assert (m5.one(rows.format("sales")), m5.one(rows.format("prices"))) == (1_951_360, 6_841_121)
    assert m5.one("SELECT sum(sold_quantity) FROM silver_sales_history") == 65_695_409
    assert dominicks.one(rows.format("weeks")) == 106_139
