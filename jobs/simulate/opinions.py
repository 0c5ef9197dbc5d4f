"""What customers think, and who of them says so: reviews, and surveys that most never answer."""

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import phrases, texts
from jobs.simulate.assortment import product_ids, store_ids
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NONE, Contacts, contacts
from jobs.simulate.draws import Columns, Flags, Integers, Numbers, Stream, chosen, scrambled, uniform
from jobs.simulate.local_time import DAY_SECONDS, as_moments, next_export, wall_seconds_of
from jobs.simulate.orders import ENTITY_SPAN, Orders, accounts_shown, cards_shown, order_lines, orders
from jobs.simulate.people import People, people
from jobs.simulate.sales import ORDER_BITS
from jobs.simulate.seasons import day_count
from jobs.simulate.tastes import SERVICE_CAUSE, tastes

PERSON_SPREAD, ORDER_SPREAD = 0.6, 0.8  # standard deviations, in steps of a rating from 1 to 5
LAST_DAYS = 60  # before they leave, those who leave for the service are unhappy
UNHAPPY_BY = 2.0
MEAN_RATING, MEAN_NPS, NPS_STEP = 4.1, 7.6, 2.0
REVIEW_ANSWER_SHARES = (0.0, 0.28, 0.2, 0.08, 0.07, 0.14)  # by true rating: the unhappy write most, the delighted next
SURVEYED_SHARE = 0.12
SURVEY_ANSWER_SHARES = (0.0, 0.5, 0.4, 0.18, 0.13, 0.16)
SURVEY_KINDS = ("nps", "csat")
REVIEW_ASKED_AFTER, SURVEY_ASKED_AFTER, ANSWERED_WITHIN_SECONDS = 7, 3, 5 * DAY_SECONDS
OPINION_SCHEMA = (
    "order_number long, is_online boolean, member long, product long, store long, kind long, rating long, score long,"
    " asked_at timestamp_ntz, answered_at timestamp_ntz, is_answered boolean, text long, exported_at timestamp_ntz"
)


def normal(draws: tuple[Numbers, Numbers]) -> Numbers:
    """A standard normal number from two uniform ones (Box, Muller 1958)."""
    return np.asarray(np.sqrt(-2 * np.log(draws[0])) * np.cos(2 * np.pi * draws[1]))


def moods(settings: WorldSettings, persons: Integers) -> Numbers:
    """How much happier than others each person is in general, in steps of a rating."""
    seed = settings.seed
    return PERSON_SPREAD * normal(
        (uniform(seed, Stream.SATISFACTION, persons), uniform(seed, Stream.SATISFACTION, persons, 1))
    )


def satisfactions(settings: WorldSettings, crowd: People, placed: Orders) -> Numbers:
    """How much happier than the mean each order left its person, in steps of a rating."""
    seed, owner = settings.seed, placed.owner
    by_order = normal(
        (uniform(seed, Stream.SATISFACTION, placed.key, 2), uniform(seed, Stream.SATISFACTION, placed.key, 3))
    )
    leaves_for_service = tastes(settings, crowd.person_id).dropout_cause == SERVICE_CAUSE
    is_near_the_end = crowd.active_until[owner] - placed.day < LAST_DAYS
    unhappy = np.where(leaves_for_service[owner] & is_near_the_end, UNHAPPY_BY, 0.0)
    return np.asarray(moods(settings, crowd.person_id)[owner] + ORDER_SPREAD * by_order - unhappy)


def ratings(satisfaction: Numbers) -> Integers:
    """The rating from 1 to 5 that somebody this happy has in mind."""
    return np.clip(np.round(MEAN_RATING + satisfaction), 1, 5).astype(np.int64)


def members_shown(settings: WorldSettings, known: Contacts, placed: Orders) -> Integers:
    """The account or card known with each order, by its channel; NONE for an anonymous one."""
    shown = np.where(placed.is_online, accounts_shown(settings, known, placed), cards_shown(settings, known, placed))
    return np.asarray(shown, dtype=np.int64)


def opinion_columns(
    settings: WorldSettings, placed: Orders, known: Contacts, kept: Flags, stream: Stream, asked_after: int
) -> Columns:
    """One row per kept order: whom is asked, when, and when there is an answer if there is one."""
    of_kept = np.flatnonzero(kept)
    key = placed.key[of_kept]
    asked = wall_seconds_of(settings, placed.day[of_kept] + asked_after, 10 * 3600)
    return {
        "order_number": scrambled(settings.seed, "orders", key, ORDER_BITS),
        "is_online": placed.is_online[of_kept],
        "member": members_shown(settings, known, placed)[of_kept],
        "store": placed.store[of_kept],
        "asked_at": as_moments(asked),
        "answered_at": as_moments(asked + 60 + chosen(settings.seed, stream, key, ANSWERED_WITHIN_SECONDS, 5)),
        "text": chosen(settings.seed, stream, key, 100, 6),
        "exported_at": as_moments(next_export(settings, placed.day[of_kept] + asked_after + 5)),
    }


def review_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per review that these persons wrote of the first product of an online order."""
    crowd = people(settings, persons)
    known, placed = contacts(settings, crowd), orders(settings, crowd)
    lines = order_lines(settings, placed)
    rating = ratings(satisfactions(settings, crowd, placed))
    writes = uniform(settings.seed, Stream.REVIEW, placed.key) < np.array(REVIEW_ANSWER_SHARES)[rating]
    in_world = placed.day + REVIEW_ASKED_AFTER + 5 < day_count(settings)
    kept = placed.is_online & writes & in_world
    told = opinion_columns(settings, placed, known, kept, Stream.REVIEW, REVIEW_ASKED_AFTER)
    nothing = np.zeros(int(kept.sum()), dtype=np.int64)
    return told | {
        "product": lines.product[lines.line_no == 1][kept],
        "kind": nothing,
        "rating": rating[kept],
        "score": rating[kept],
        "is_answered": np.ones(len(nothing), dtype=np.bool_),
    }


def survey_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per survey sent to these persons after an order; `score` is what they think, said or not."""
    seed, crowd = settings.seed, people(settings, persons)
    known, placed = contacts(settings, crowd), orders(settings, crowd)
    satisfaction = satisfactions(settings, crowd, placed)
    is_sent = uniform(seed, Stream.SURVEY, placed.key) < SURVEYED_SHARE
    in_world = placed.day + SURVEY_ASKED_AFTER + 5 < day_count(settings)
    kept = is_sent & in_world & (members_shown(settings, known, placed) != NONE)
    told = opinion_columns(settings, placed, known, kept, Stream.SURVEY, SURVEY_ASKED_AFTER)
    rating = ratings(satisfaction)[kept]
    kind = chosen(seed, Stream.SURVEY, placed.key[kept] // ENTITY_SPAN + placed.day[kept], len(SURVEY_KINDS), 1)
    nps = np.clip(np.round(MEAN_NPS + NPS_STEP * satisfaction[kept]), 0, 10).astype(np.int64)
    answers = uniform(seed, Stream.SURVEY, placed.key[kept], 2) < np.array(SURVEY_ANSWER_SHARES)[rating]
    return told | {
        "product": np.full(len(rating), NONE, dtype=np.int64),
        "kind": kind,
        "rating": rating,
        "score": np.where(kind == 0, nps, rating),
        "is_answered": answers,
    }


def member() -> Column:
    """The account or card that is known with an order; null for none."""
    return F.when(F.col("is_online"), texts.account_id("member")).otherwise(texts.card_no("member"))


def reviews(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per review, as the shop exports them; some have quotes, commas and several lines."""
    every_text = [text for row in phrases.REVIEW_TEXTS for text in row]
    of_rating = len(phrases.REVIEW_TEXTS[0])
    place = (F.col("rating") - 1) * of_rating + F.col("text") % of_rating
    return generated(spark, settings, review_batch, OPINION_SCHEMA).select(
        F.concat(F.lit("V"), F.col("order_number").cast("string")).alias("review_id"),
        texts.order_id("is_online", "order_number").alias("order_id"),
        texts.listed(product_ids(settings), F.col("product")).alias("product_id"),
        member().alias("member"),
        F.col("asked_at").cast("string").alias("asked_at"),
        F.col("answered_at").cast("string").alias("reviewed_at"),
        F.col("rating").cast("string").alias("stars"),
        texts.listed(every_text, place).alias("text"),
        texts.utc_text("exported_at").alias("exported_at"),
    )


def survey_answers(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per survey sent, in numbers; the score is what the person thinks, said or not."""
    told = generated(spark, settings, survey_batch, OPINION_SCHEMA)
    return told.withColumn("survey_id", F.concat(F.lit("Y"), F.col("order_number").cast("string")))


def surveys(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per survey sent, as the survey tool exports them; most have no answer."""
    said = F.col("is_answered")
    return survey_answers(spark, settings).select(
        "survey_id",
        texts.listed(SURVEY_KINDS, F.col("kind")).alias("kind"),
        member().alias("member"),
        texts.order_id("is_online", "order_number").alias("order_id"),
        texts.listed(store_ids(settings), F.col("store")).alias("store_id"),
        F.col("asked_at").cast("string").alias("asked_at"),
        F.when(said, F.col("answered_at").cast("string")).alias("answered_at"),
        F.when(said, F.col("score").cast("string")).alias("score"),
        texts.utc_text("exported_at").alias("exported_at"),
    )


def true_opinions(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per survey sent: what the person thinks, and whether it was said."""
    return survey_answers(spark, settings).select(
        "survey_id",
        texts.listed(SURVEY_KINDS, F.col("kind")).alias("kind"),
        F.col("score").cast("int").alias("true_score"),
        F.col("is_answered").alias("is_answered"),
    )
