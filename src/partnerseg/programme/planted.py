"""What the sample programme is made of: its planted numbers and its words. `simulate` draws from them."""

FOUNDED = "2021-07-01"  # the first partners join; stages and consents reach back to here
FIRST_DAY = "2023-07-01"  # every other event happens from here on
AS_OF = "2026-06-30"
CURRENCY = "EUR"

# Regions: share of partners, level of order values, cost of winning a partner (EUR), share of thin
# files (fields missing at random given the region), and partners' countries with their shares.
REGIONS = ("north", "south", "west", "Київ")
REGION_SHARE = (0.4, 0.3, 0.2, 0.1)
REGION_VALUE = (1.1, 0.95, 1.0, 0.8)
ACQUISITION_COST = (900.0, 1000.0, 1400.0, 500.0)
THIN_FILE_SHARE = (0.04, 0.06, 0.08, 0.25)
COUNTRIES = ("SE", "NO", "DK", "FI", "IT", "ES", "PT", "DE", "FR", "NL", "UA", "MD")
REGION_COUNTRIES = (
    {"SE": 0.4, "NO": 0.2, "DK": 0.2, "FI": 0.2},
    {"IT": 0.5, "ES": 0.35, "PT": 0.15},
    {"DE": 0.5, "FR": 0.3, "NL": 0.2},
    {"UA": 0.95, "MD": 0.05},
)
LANGUAGES = ("en", "uk", "ru")
REGION_LANGUAGES = ((0.97, 0.02, 0.01), (0.97, 0.02, 0.01), (0.97, 0.02, 0.01), (0.05, 0.8, 0.15))

PARTNER_TYPES = ("reseller", "integrator", "agent", "influencer", "technology")
INDUSTRIES = ("retail", "manufacturing", "healthcare", "education", "finance", "logistics")
SIZES = ("micro", "small", "medium", "large")
SPECIALIZATIONS = ("cloud", "security", "networking", "analytics", "commerce", "support")
CHANNELS = ("email", "phone", "webinar", "event", "portal", "social")

# Segments: share of partners (the rest, 8%, is background) and the chance to move elsewhere a quarter.
SEGMENTS = (
    "steady_resellers",
    "project_integrators",
    "content_influencers",
    "local_agents",
    "export_traders",
    "technology_builders",
)
BACKGROUND = "background"
SEGMENT_SHARE = (0.30, 0.22, 0.15, 0.11, 0.09, 0.05)
MOVE_SHARE = 0.008
MOVES_TO = (4, 5, 3, 0, 0, 1)  # where a mover of each segment goes: most; a tenth goes anywhere
BLEND_SHARE = 0.06  # members that behave 10-40% like another segment: the overlap

# Center of a segment for every behavior, the scale on which partners vary around it, and their spread.
# Rates are a year; shares lie between 0 and 1; scores between 0 and 100.
BEHAVIORS: dict[str, tuple[str, float, tuple[float, ...]]] = {
    "orders": ("log", 0.28, (44, 13, 68, 22, 32, 8)),
    "order_value": ("log", 0.28, (420, 4600, 85, 1000, 2300, 15000)),
    "customers": ("log", 0.22, (26, 8, 130, 7, 45, 4)),
    "products": ("log", 0.15, (14, 6, 4, 3, 10, 2)),
    "abroad": ("logit", 0.30, (0.08, 0.12, 0.45, 0.02, 0.80, 0.65)),
    "discount": ("logit", 0.20, (0.12, 0.19, 0.03, 0.07, 0.27, 0.04)),
    "returned": ("logit", 0.20, (0.05, 0.01, 0.10, 0.03, 0.04, 0.01)),
    "contacts": ("log", 0.20, (12, 20, 26, 10, 14, 28)),
    "visits": ("log", 0.25, (12, 5, 4, 3, 20, 45)),
    "opened": ("logit", 0.25, (0.35, 0.45, 0.65, 0.25, 0.40, 0.55)),
    "replied": ("logit", 0.25, (0.15, 0.30, 0.35, 0.50, 0.12, 0.40)),
    "attended": ("logit", 0.25, (0.25, 0.60, 0.40, 0.20, 0.20, 0.70)),
    "trainings": ("log", 0.22, (0.9, 3.5, 0.6, 0.4, 1.2, 9.0)),
    "tickets": ("log", 0.25, (3.0, 6.0, 0.7, 1.2, 4.0, 12.0)),
    "on_time": ("logit", 0.25, (0.85, 0.75, 0.80, 0.65, 0.88, 0.92)),
    "resolution_hours": ("log", 0.20, (18, 40, 10, 24, 14, 90)),
    "quality": ("plain", 4.0, (68, 76, 62, 58, 66, 84)),
    "satisfaction": ("plain", 0.35, (0.1, 0.2, 0.5, -0.4, -0.1, 0.6)),
}
# Chances of what a partner is and how it is reached, one row a segment.
TYPE_SHARE = (
    (0.84, 0.06, 0.06, 0.02, 0.02),
    (0.04, 0.86, 0.02, 0.02, 0.06),
    (0.02, 0.02, 0.06, 0.88, 0.02),
    (0.08, 0.02, 0.86, 0.02, 0.02),
    (0.62, 0.04, 0.30, 0.02, 0.02),
    (0.02, 0.10, 0.02, 0.02, 0.84),
)
INDUSTRY_SHARE = (
    (0.55, 0.15, 0.05, 0.10, 0.05, 0.10),
    (0.05, 0.45, 0.20, 0.05, 0.20, 0.05),
    (0.35, 0.02, 0.05, 0.48, 0.05, 0.05),
    (0.15, 0.10, 0.25, 0.15, 0.25, 0.10),
    (0.20, 0.20, 0.03, 0.02, 0.05, 0.50),
    (0.03, 0.15, 0.35, 0.05, 0.40, 0.02),
)
SIZE_SHARE = (
    (0.15, 0.50, 0.30, 0.05),
    (0.03, 0.17, 0.55, 0.25),
    (0.75, 0.20, 0.04, 0.01),
    (0.55, 0.38, 0.06, 0.01),
    (0.10, 0.40, 0.40, 0.10),
    (0.02, 0.13, 0.40, 0.45),
)
SPECIALIZATION_SHARE = (
    (0.10, 0.10, 0.20, 0.05, 0.40, 0.15),
    (0.30, 0.25, 0.25, 0.10, 0.05, 0.05),
    (0.05, 0.02, 0.03, 0.35, 0.45, 0.10),
    (0.10, 0.10, 0.10, 0.05, 0.25, 0.40),
    (0.10, 0.05, 0.25, 0.05, 0.45, 0.10),
    (0.35, 0.30, 0.10, 0.20, 0.02, 0.03),
)
CHANNEL_SHARE = (  # of contacts; portal visits come on top
    (0.60, 0.20, 0.10, 0.05, 0.00, 0.05),
    (0.25, 0.40, 0.15, 0.20, 0.00, 0.00),
    (0.20, 0.05, 0.10, 0.05, 0.00, 0.60),
    (0.20, 0.70, 0.02, 0.05, 0.00, 0.03),
    (0.70, 0.10, 0.10, 0.05, 0.00, 0.05),
    (0.35, 0.02, 0.50, 0.05, 0.00, 0.08),
)

# Stages: hazards a year of going on, going dormant, leaving. "activated" is the bottleneck.
STAGES = ("recruited", "onboarded", "activated", "growing", "strategic")
EXITS = ("dormant", "left")
STAGE_HAZARDS = (
    (14.0, 0.20, 0.10),
    (8.0, 0.20, 0.10),
    (0.30, 0.020, 0.010),
    (0.60, 0.012, 0.008),
    (0.00, 0.008, 0.006),
)
BOTTLENECK = "activated"
STAGE_SALES = (0.5, 0.6, 1.0, 1.15, 1.3)  # orders in a stage against those of the behavior

QUARTER_SALES = (0.95, 1.0, 0.9, 1.15)  # January-March first

# Factors: one standard deviation now changes the log of next quarter's orders by so much.
FACTOR_EFFECTS = {
    "training_and_specialization": 0.12,
    "teamwork": 0.10,
    "task_quality": 0.08,
    "audience_communication": 0.06,
    "marketing_strategy": 0.05,
    "content_uniqueness": 0.0,
    "strategic_planning": 0.0,
    "technical_equipment": 0.0,
}
FACTOR_MEMORY = 0.8  # correlation of a factor with itself a quarter later
ASSESSED = ("marketing_strategy", "content_uniqueness", "teamwork", "strategic_planning", "technical_equipment")
JOINT_SALES = 0.2  # chance that a sale is wanted together with another partner; whoever no longer sells is no help
CONFLICTS = 0.08  # chance that a support case is a conflict
REOPENED = 0.12  # chance that a task is opened again
ANSWER_HOURS = 12.0  # median time to the first answer to a message
PRODUCT_COMPLAINTS = 2.5  # log odds by which complaints are about the product more often than sales come back
NO_SUBJECT = 0.15  # share of complaints of which it is unknown what they are about

# Actions, taken in the last ten days of a quarter: cost (EUR) and relative change of next quarter's
# orders for a partner in each stage. Four do nothing, one harms.
ACTIONS: dict[str, tuple[float, tuple[float, ...]]] = {
    "welcome_call": (20, (0.0, 0.0, 0.0, 0.0, 0.0)),
    "onboarding_workshop": (250, (0.30, 0.30, 0.0, 0.0, 0.0)),
    "product_certification": (300, (0.0, 0.0, 0.20, 0.15, 0.0)),
    "joint_campaign": (800, (0.0, 0.0, 0.0, 0.20, 0.20)),
    "pipeline_review": (60, (0.0, 0.0, 0.25, 0.10, 0.0)),
    "technical_audit": (400, (-0.20, -0.20, -0.20, -0.20, -0.20)),
    "reactivation_call": (25, (0.0, 0.0, 0.10, 0.0, 0.0)),
    "newsletter": (1, (0.0, 0.0, 0.0, 0.0, 0.0)),
    "executive_meeting": (150, (0.0, 0.0, 0.0, 0.0, 0.0)),
    "co_funding": (1500, (0.0, 0.0, 0.0, 0.0, 0.0)),
}
ACTION_CHANCE = 0.35  # that a partner gets a step in a round
# Approaches: how often each is used and how it weighs the actions in each stage. A quiet partner (at
# most one order in the quarter before) gets four times the weight on a reactivation call.
APPROACHES = ("calendar", "by_stage")
APPROACH_SHARE = (0.4, 0.6)
BY_STAGE_WEIGHTS = (
    (6, 4, 1, 1, 1, 1, 1, 2, 1, 1),
    (3, 6, 2, 1, 1, 1, 1, 2, 1, 1),
    (1, 1, 5, 2, 4, 2, 1, 3, 1, 1),
    (1, 1, 3, 5, 2, 2, 1, 2, 2, 2),
    (1, 1, 1, 4, 1, 2, 1, 2, 5, 3),
)
QUIET_WEIGHT = 4.0

EXPERIMENT = "co_selling_2025"
EXPERIMENT_QUARTER = 9  # assigned in the last days of the quarter before 1 October 2025
EXPERIMENT_EFFECT = 0.15  # relative change of the orders of the treated, from then on

# What happens to the data.
LATE_SHARE = {"sales": 0.02, "touches": 0.02, "trainings": 0.05, "tickets": 0.02, "feedback": 0.03, "assessments": 0.03}
RETURN_DAYS = (3, 40)
MARKETING_WITHDRAWN = 0.06
NAVIGATION_PAUSED = 0.05
ANALYTICS_WITHDRAWN = 0.015
PREFERENCES_SHARE = 0.6
MARKETING_IDENTITY = 0.85
SECOND_IDENTITY = 0.03

PRODUCTS = (
    "router", "switch", "firewall", "server", "storage", "backup", "laptop", "tablet", "printer", "scanner",
    "camera", "sensor", "gateway", "phone", "headset", "license", "subscription", "support plan", "kiosk", "display",
)  # fmt: skip
SALE_CHANNELS = ("direct", "online", "marketplace", "field")
SALE_CHANNEL_SHARE = (
    (0.30, 0.50, 0.15, 0.05),
    (0.55, 0.05, 0.00, 0.40),
    (0.02, 0.60, 0.38, 0.00),
    (0.15, 0.05, 0.00, 0.80),
    (0.40, 0.30, 0.25, 0.05),
    (0.85, 0.05, 0.00, 0.10),
)
TOPICS = ("pricing", "product", "marketing", "technology", "events", "compliance")
CONTACT_COST = (0.1, 8.0, 25.0, 120.0, 0.0, 1.0)
COURSES = (  # course, kind, specialization
    ("cloud basics", "course", "cloud"),
    ("cloud architect", "certification", "cloud"),
    ("secure networks", "certification", "security"),
    ("threat response", "course", "security"),
    ("switching and routing", "certification", "networking"),
    ("data for decisions", "course", "analytics"),
    ("campaign measurement", "seminar", "analytics"),
    ("selling online", "course", "commerce"),
    ("marketplace day", "conference", "commerce"),
    ("service desk practice", "course", "support"),
    ("partner summit", "conference", ""),
    ("pipeline clinic", "seminar", ""),
)
SUGGESTIONS = (
    "More lead time for campaigns, please.",
    "The portal could remember our filters.",
    "Price lists as a spreadsheet would help.",
    "Хотілося б більше матеріалів українською.",
)
COMPLAINTS = (
    "Delivery was late, again.",
    "We waited three days for an answer.",
    "The invoice did not match the order.",
    "Підтримка відповіла запізно.",
)
COST_KINDS = ("marketing", "training", "support", "partner_management")  # and recruiting
COST_A_PARTNER = (22.0, 9.0, 14.0, 30.0)  # EUR a month

NAME_FIRST = (
    "Amber", "Anchor", "Arctic", "Aspen", "Beacon", "Birch", "Blue Ridge", "Bright", "Cedar", "Clear", "Cobalt",
    "Copper", "Coral", "Delta", "East Gate", "Ember", "Evergreen", "Fjord", "Garnet", "Granite", "Harbor", "Heath",
    "High Field", "Horizon", "Indigo", "Iron Bridge", "Juniper", "Lark", "Linden", "Lumen", "Maple", "Marble", "Meadow",
    "Mill Lane", "Nimbus", "North Quay", "Oak", "Olive", "Opal", "Orchard", "Pine", "Prisma", "Quartz", "River",
    "Saffron", "Silver", "Slate", "Solar", "Spruce", "Summit", "Terra", "Tidal", "Umbra", "Valley", "Vela", "West Dock",
    "Willow",
)  # fmt: skip
NAME_SECOND = (
    "Analytics", "Commerce", "Components", "Consulting", "Data", "Digital", "Distribution", "Electronics", "Equipment",
    "Integration", "Labs", "Logic", "Media", "Networks", "Office", "Partners", "Retail", "Services", "Software",
    "Solutions", "Studio", "Supply", "Systems", "Technologies", "Trade", "Works",
)  # fmt: skip
NAME_FORM = ("", " Group", ", Ltd", " & Co", " AB", " GmbH", " SpA", " BV")
NAME_FIRST_UA = (
    "Альтаїр", "Барвінок", "Берег", "Вектор", "Вересень", "Вулик", "Горизонт", "Джерело", "Діброва", "Зеніт", "Калина",
    "Комета", "Криниця", "Лан", "Лелека", "Маяк", "Меридіан", "Місток", "Обрій", "Орбіта", "Полісся", "Промінь",
    "Ратуша", "Світанок", "Смерека", "Спектр", "Степ", "Сузір'я", "Тополя", "Явір",
)  # fmt: skip
NAME_SECOND_UA = (
    "Аналітика", "Інтеграція", "Комерс", "Консалтинг", "Маркет", "Медіа", "Мережі", "Обладнання", "Партнер", "Постач",
    "Рішення", "Сервіс", "Системи", "Софт", "Студія", "Техно", "Торг", "Цифра",
)  # fmt: skip
NAME_FORM_UA = ("", " ТОВ", " Груп", " Київ")
