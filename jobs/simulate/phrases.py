"""What people write in reviews and say to service, as invented phrases."""

REVIEW_TEXTS = (  # by stars, from one to five
    (
        "质量太差，再也不买了",
        'Broken on arrival, "new" it was not.',
        "客服不理人\n退款也慢",
        "Worst so far;\nnobody answered.",
    ),
    ("不太满意", "Smaller than in the picture, sadly", "包装破损，味道一般", "Late, and the box was open"),
    ("一般般吧", "It does what it says, no more.", "还可以，价格偏高", '"OK" is the word'),
    ("挺好的，物流也快", "Good, would buy again", "家里人都喜欢", "Nice quality,\nfast delivery"),
    (
        "非常满意！五星好评",
        "Love it, exactly as described",
        "回购三次了，\n一如既往地好",
        'My mother says: "excellent".',
    ),
)
TICKET_TOPICS = ("delivery", "refund", "quality", "invoice", "points", "account")
TICKET_TEXTS = (
    "包裹还没有收到，请帮忙查一下",
    "Refund has not arrived after two weeks",
    "收到的商品有破损，要求换货",
    'The invoice says "personal", I need one for my company',
    "积分没有到账",
    "I can't log in with my new phone",
    "客户询问新品到店时间，已登记",
    "The courier left it outside\nand it rained",
)
